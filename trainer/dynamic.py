"""Hyperparameters that follow the training: the rate by the loss on dev, the batch by noise. Pure.

Knows no torch and no model; the same numbers in give the same decisions.
"""

import math
from collections.abc import Sequence
from typing import Any

# Of one measure, half is forgotten after seven steps.
_DECAY = 0.9
# Single estimates are rough; before so many, none is believed.
_MEASURES = 8


class Plateau:
    """Lowers the rate whenever the loss on dev has stopped falling.

    Args:
        patience: looks without a new best loss before it is lowered; None never lowers it.
        factor: what the rate is multiplied with then.
    """

    def __init__(self, patience: int | None, factor: float) -> None:
        self._patience, self._factor = patience, factor
        self.rate_factor = 1.0
        self._best = math.inf
        self._waited = 0

    def look(self, loss: float) -> bool:
        """Take a loss on dev; returns whether it lowers the rate."""
        self._waited = 0 if loss < self._best else self._waited + 1
        self._best = min(self._best, loss)
        if self._patience is None or self._waited < self._patience:
            return False
        self._waited = 0
        self.rate_factor *= self._factor
        return True

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"rate_factor": self.rate_factor, "best": self._best, "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another one stood."""
        self.rate_factor, self._best = state["rate_factor"], state["best"]
        self._waited = state["waited"]


class NoiseScale:
    """The batch size at which a gradient's noise equals what it says, measured while training.

    B_simple = tr(Σ) / |G|² of McCandlish et al. 2018, "An empirical model of large-batch training",
    https://arxiv.org/abs/1812.06162, equation 2.9. |G|² and tr(Σ) are estimated without bias from
    the gradient of a step and those of random parts of it (appendix A.1, for parts of any size),
    and averaged over steps before they are divided.
    """

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self._measures = 0

    def add(
        self, whole: float, parts: Sequence[float], *, shares: Sequence[float], tokens: int
    ) -> None:
        """Take the measure of one step.

        Args:
            whole: squared norm of the step's gradient.
            parts: squared norms of what random parts of the step contribute to that gradient.
            shares: of the step's tokens in each part; they sum to 1.
            tokens: in the step.
        """
        signal = (whole - sum(parts)) / (1 - sum(share * share for share in shares))
        noise = (whole - signal) * tokens
        self._signal = _DECAY * self._signal + (1 - _DECAY) * signal
        self._noise = _DECAY * self._noise + (1 - _DECAY) * noise
        self._measures += 1

    @property
    def tokens(self) -> float | None:
        """B_simple, infinite where nothing but noise is seen; None before it can be believed."""
        if self._measures < _MEASURES:
            return None
        if self._signal <= 0:
            return math.inf
        return max(0.0, self._noise) / self._signal

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"signal": self._signal, "noise": self._noise, "measures": self._measures}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another one stood."""
        self._signal, self._noise = state["signal"], state["noise"]
        self._measures = state["measures"]


def next_scale(scale: float, *, wanted: float, most: int) -> float:
    """The size of the coming steps: one factor of two nearer to the wanted size, or as it is.

    Args:
        scale: of the steps now, in planned steps.
        wanted: size, in planned steps.
        most: steps grow and shrink up to this factor.
    """
    if wanted >= 2 * scale and 2 * scale <= most:
        return 2 * scale
    if wanted <= scale / 2 and 2 / scale <= most:
        return scale / 2
    return scale
