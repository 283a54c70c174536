"""Work on a group that goes on in halves where memory runs out. No torch, and knows no model."""

from collections.abc import Callable
from typing import TypeVar

from trainer.faults import is_out_of_memory

Piece = TypeVar("Piece")
Done = TypeVar("Done")


def in_halves(work: Callable[[list[Piece]], list[Done]], group: list[Piece]) -> list[Done]:
    """Return what `work` makes of a group; where memory runs out, of its halves one after another.

    And so on down to single pieces: what one alone raises is raised here.

    Args:
        work: makes the same of a piece whatever else is in its group, beyond rounding.
        group: at least one piece.
    """
    if len(group) == 1:
        return work(group)
    done = attempted(lambda: work(group))
    if done is None:
        half = len(group) // 2
        done = [*in_halves(work, group[:half]), *in_halves(work, group[half:])]
    return done


def attempted(work: Callable[[], Done]) -> Done | None:
    """Return what `work` returns; None where memory ran out."""
    try:
        return work()
    except (MemoryError, RuntimeError) as fault:
        if not is_out_of_memory(fault):
            raise
    return None  # beyond the handler, so that the fault's frames hold no memory any more
