"""The reader's end of an answer: its pieces in order, and the place it frees when it goes.

However it goes: read to the end, closed, cancelled, or forgotten before the first piece was asked
for, which an async generator does not notice. Knows nothing of who makes the pieces.
"""

import asyncio
import weakref
from collections.abc import Callable

from feedback.errors import HeedError
from serving.engines.base import Chunk


class Reading:
    """An async iterator over the pieces that somebody puts into a queue.

    Args:
        queue: the last piece has a finish reason; an error ends the answer, too.
        leave: called once when nobody reads any more; on any thread, and must not hold the reading.
    """

    def __init__(
        self, queue: "asyncio.Queue[Chunk | HeedError]", leave: Callable[[], object]
    ) -> None:
        self._queue = queue
        self._leave = weakref.finalize(self, leave)
        self._leave.atexit = False  # then nobody is left to compute for

    def __aiter__(self) -> "Reading":
        return self

    async def __anext__(self) -> Chunk:
        """Return the next piece.

        Raises:
            HeedError: what ended the answer.
        """
        if not self._leave.alive:
            raise StopAsyncIteration
        try:
            item = await self._queue.get()
        except BaseException:
            self._leave()
            raise
        if isinstance(item, HeedError):
            self._leave()
            raise item
        if item.finish_reason:
            self._leave()
        return item

    async def aclose(self) -> None:
        """Free the answer's place; waits for nothing."""
        self._leave()
