"""An answer whose reader can be freed from outside, at no cost per token.

The reader awaits the engine directly; only an interruption wakes it by other means, as
`asyncio.timeout` does. Knows nothing of why it is interrupted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from feedback.errors import HeedError, Unavailable
from serving.engines.base import Chunk, close

log = logging.getLogger("heed.engine")


class Interruptible:
    """An async iterator over an engine's answer.

    Args:
        chunks: the answer.
        on_fault: called when the answer ends with an error, before its reader hears of it.
    """

    def __init__(self, chunks: AsyncIterator[Chunk], on_fault: Callable[[], None]) -> None:
        self._chunks = chunks
        self._on_fault = on_fault
        self._reader: asyncio.Task[object] | None = None
        self._reason: str | None = None

    def __aiter__(self) -> "Interruptible":
        return self

    async def __anext__(self) -> Chunk:
        """Return the next piece.

        Raises:
            Unavailable: the answer was interrupted, or the engine failed in an unforeseen way.
        """
        if self._reason is not None:
            raise Unavailable(self._reason)
        reader = asyncio.current_task()
        assert reader is not None
        cancelling = reader.cancelling()
        self._reader = reader
        try:
            return await anext(self._chunks)
        except asyncio.CancelledError:
            # Another may have cancelled the reader too, and that one's word counts.
            reason = self._interrupted()
            if reason is None or reader.uncancel() > cancelling:
                raise
            raise Unavailable(reason) from None
        except StopAsyncIteration:
            raise
        except HeedError:
            self._on_fault()
            raise
        except Exception as error:
            log.exception("an answer failed")
            self._on_fault()
            raise Unavailable(f"The engine failed while answering ({error}). Ask again.") from error
        finally:
            self._reader = None

    def interrupt(self, reason: str) -> None:
        """End the answer: its reader gets `Unavailable` with this reason, now or when it returns."""
        if self._reason is not None:
            return
        self._reason = reason
        if self._reader is not None:
            self._reader.cancel()

    def _interrupted(self) -> str | None:
        return self._reason

    async def aclose(self) -> None:
        """Free the place of an answer that nobody reads on."""
        await close(self._chunks)
