"""The least arithmetic that a round needs, in floating-point operations. Pure.

LoRA fine-tuning multiplies every weight of the layers twice for every token, forward and for the
gradient of what came in, and the head twice for every token that is predicted; a multiplication
counts two operations. The adapter's own products, attention and whatever is padded are not counted:
they are what a trainer spends beyond the least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.rows import Row


@dataclass(frozen=True)
class Shape:
    """What of a model counts.

    Attributes:
        linear: the layers' linear weights as (out, in), all of them.
        hidden: width of what reaches the head.
        vocabulary: ids that the head scores.
    """

    linear: tuple[tuple[int, int], ...]
    hidden: int
    vocabulary: int

    @property
    def body(self) -> int:
        """Weights in the layers."""
        return sum(out * into for out, into in self.linear)


def training(shape: Shape, rows: Sequence[Row]) -> int:
    """Operations to learn from the rows once, their references known.

    The mismatched answer of a verdict is only scored, since no gradient goes through it.
    """
    total = 0
    for row in rows:
        scored_only = sum(map(len, row.branches[1:])) if row.kind == "verdict" else 0
        scored = sum(map(len, row.branches))
        tokens = len(row.prompt) + scored
        total += _each(shape, tokens, scored) + _each(
            shape, tokens - scored_only, scored - scored_only
        )
    return total


def references(shape: Shape, rows: Sequence[Row]) -> int:
    """Operations to score preferences and verdicts once."""
    return sum(
        _each(shape, row.tokens, sum(map(len, row.branches)))
        for row in rows
        if row.kind != "demonstration"
    )


def _each(shape: Shape, tokens: int, scored: int) -> int:
    """One pass over so many tokens, of which so many are predicted."""
    return 2 * shape.body * tokens + 2 * shape.vocabulary * shape.hidden * scored
