"""When training has gone far enough: the loss on dev is watched, the best state kept. Pure.

Knows no torch: a state is whatever the caller copies.
"""

import math
from typing import Any


class Watch:
    """Remembers the best loss on dev and how long ago it was.

    Prechelt 1998, "Early stopping - but when?", compares criteria; this is the plain one.

    Args:
        patience: looks without a new best loss after which training stops; None never stops it.
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = patience
        self.start_loss: float | None = None
        self.best_loss = math.inf
        self.best_step = 0
        self._waited = 0

    def begin(self, loss: float) -> None:
        """Take the loss on dev before the first step; it is told and never restored."""
        self.start_loss = loss

    def look(self, step: int, loss: float) -> bool:
        """Take the loss on dev after a step; returns whether it is the best so far."""
        if loss < self.best_loss:
            self.best_loss, self.best_step, self._waited = loss, step, 0
            return True
        self._waited += 1
        return False

    @property
    def stop(self) -> bool:
        """Whether patience has run out."""
        return self._patience is not None and self._waited >= self._patience

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {
            "start_loss": self.start_loss,
            "best_loss": self.best_loss,
            "best_step": self.best_step,
            "waited": self._waited,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another one stood."""
        self.start_loss, self.best_loss = state["start_loss"], state["best_loss"]
        self.best_step, self._waited = state["best_step"], state["waited"]
