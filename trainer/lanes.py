"""Independent pieces of work side by side in threads of one process, each on one core.

For models whose operations are too short to be shared among threads: there two threads that meet
at every operation are slower than one, and two that meet at the end of a piece are not. Knows no
model; what runs in it must release Python's lock for most of its time, as torch does.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self, TypeVar

Piece = TypeVar("Piece")
Done = TypeVar("Done")


class Lanes:
    """Used as a context manager; with one lane nothing leaves the caller's thread.

    Args:
        count: how many pieces are worked on at once.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="lane") if count > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self,
        work: Callable[[Piece], Done],
        pieces: Sequence[Piece],
        *,
        cost: Callable[[Piece], float],
    ) -> Iterator[Done]:
        """Yield what `work` makes of each piece, in the order of the pieces.

        Args:
            work: called once per piece; what it raises is raised here.
            pieces: independent of each other.
            cost: of a piece, in any unit: the dearest start first, so that the lanes end together.
        """
        if self._pool is None or len(pieces) < 2:
            yield from map(work, pieces)
            return
        dearest_first = sorted(range(len(pieces)), key=lambda at: -cost(pieces[at]))
        futures = {at: self._pool.submit(work, pieces[at]) for at in dearest_first}
        try:
            for at in range(len(pieces)):
                yield futures[at].result()
        finally:
            for future in futures.values():
                future.cancel()
            wait(futures.values())  # what has begun still holds its memory
