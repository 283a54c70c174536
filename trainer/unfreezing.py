"""Gradual unfreezing: the top layer learns first, and one more from time to time.

Howard and Ruder 2018, "Universal language model fine-tuning for text classification",
https://arxiv.org/abs/1801.06146, section 3.3: what lies on top is the least general, so it may
change first; learning everything at once forgets more. Knows no data and no optimizer.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from trainer import layers


class Unfreezing:
    """Says before every step which layers learn.

    The optimizer must be built before the first call, when everything is trainable: a weight that
    is frozen has no gradient, and optimizers skip what has none.

    Args:
        levels: the weights that learn in the end, by layer from bottom to top.
        every_steps: one more layer joins after so many.
    """

    def __init__(self, levels: Sequence[Sequence[nn.Parameter]], *, every_steps: int) -> None:
        self._levels = [weights for weights in reversed(levels) if weights]
        self._every_steps = every_steps
        self._open = -1

    @classmethod
    def of(cls, model: Any, *, every_steps: int) -> "Unfreezing":
        """For what learns in a model now.

        Raises:
            Invalid: its layers cannot be told apart.
        """
        return cls(layers.by_level(model), every_steps=every_steps)

    def at(self, step: int) -> None:
        """Freeze and unfreeze for a step.

        Args:
            step: counted from 0.
        """
        now = min(len(self._levels), 1 + step // self._every_steps)
        if now == self._open:
            return
        self._open = now
        for number, weights in enumerate(self._levels):
            for weight in weights:
                weight.requires_grad_(number < now)
