"""Whether what is measured of a version has changed, by a test that may be looked at at any time.

Pure: knows no database, no adapter and no clock. Observations lie from 0 to 1 and come one after the
other: first those of the time before (the reference), then those of the version that is watched. The
hypothesis is that all of them have one mean, whatever it is. Against each moment from which the mean
may have been another, a bet is made:

    E = B(before) · B(after) / max over m of the likelihood of all at one mean m,

where B is the likelihood averaged over every mean (Jeffreys' prior). Likelihoods are those of coins,
x·log m + (1 − x)·log(1 − m); for anything from 0 to 1 the ratio of two of them has an expectation of
at most 1 where m is true, since it is convex in x. Dividing by the best m makes it a bet against every
m at once: universal inference (Wasserman, Ramdas and Balakrishnan 2020), so that the mean of the time
before is never taken for known, and what the version did before the change counts as reference too.

The bets on all moments share one stake: half is on the moment at which the version began to answer,
and the k-th later one has 1/(2k(k + 1)). So together they are an e-process, as in the e-detectors of
Shin, Ramdas and Rinaldo 2023, but with stakes that add up to 1. That controls the probability that
there is *ever* a false alarm, however long and however often one looks (Ville 1939), and not merely
how rare they are. The price is that a change late in a version's life is seen a little later.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, xlogy

Side = Literal["both", "up", "down"]
Floats = NDArray[np.float64]

MOST_STARTS = 64
"""So many moments are bet on; beyond, every second is dropped, which only makes the evidence less."""
FIRST_SPACING = 25
"""Observations between two of them, at first."""
LOOK_EVERY = 10
LOOK_SHARE = 200
"""The evidence is computed after ten observations, later after each two-hundredth of all so far."""
TOLERANCE = 1e-5
_PRIOR = 0.5
_LOG_PI = math.log(math.pi)


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        count: observations.
        mean: None without any.
        lower: the mean is above this …
        upper: … and below this, with 95% confidence, whenever one looks.
    """

    count: int
    mean: float | None
    lower: float
    upper: float


@dataclass(frozen=True)
class Change:
    """The moment from which the mean most likely is another.

    Attributes:
        at: the time of the first observation after it, as it was given.
        before: everything before it, the reference included.
        after: everything from it on. Its interval takes the moment for known.
        evidence: the e-value of all bets together.
    """

    at: float
    before: Estimate
    after: Estimate
    evidence: float


def estimate(total: float, count: float, *, alpha: float = 0.05) -> Estimate:
    """Return a mean with an interval that holds at all times at once (a confidence sequence).

    It holds every mean against which a bet on all means together has not won (Robbins 1970; Howard et
    al. 2021); for observations from 0 to 1 of one mean, given those before.

    Args:
        total: of the observations.
        count: of them.
        alpha: the error probability of both sides together.
    """
    if not count:
        return Estimate(0, None, 0.0, 1.0)
    failures = count - total
    won = float(betaln(total + _PRIOR, failures + _PRIOR)) - _LOG_PI - math.log(1.0 / alpha)

    def holds(mean: float) -> bool:
        return float(xlogy(total, mean) + xlogy(failures, 1.0 - mean)) > won

    mean = total / count
    bounds = []
    for end in (0.0, 1.0):
        inside, outside = mean, end
        while not holds(end) and abs(inside - outside) > TOLERANCE:
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if holds(middle) else (inside, middle)
        bounds.append(end if holds(end) else outside)
    return Estimate(round(count), mean, bounds[0], bounds[1])


class Detector:
    """One measure of one version: hears observations, and says once when their mean has changed.

    Args:
        alpha: the probability that it ever gives a false alarm, all its alarms together: the first
            spends half of it, the next a quarter, and so on.
        side: which change is looked for; the bets on the other are left out.
        least: a change by less is no alarm, however certain; as a share.
        state: of an earlier one, as `state` returns it.
    """

    def __init__(
        self, *, alpha: float, side: Side, least: float, state: Mapping[str, Any] | None = None
    ) -> None:
        self._alpha, self._side, self._least = alpha, side, least
        kept = state or {}
        self._reference: list[float] = list(kept.get("reference", (0, 0.0)))
        self._own: list[float] = list(kept.get("own", (0, 0.0)))
        self._starts: list[list[float]] = [list(each) for each in kept.get("starts", ())]
        self._opened: int = kept.get("opened", 0)
        self._spacing: int = kept.get("spacing", FIRST_SPACING)
        self._next_look: int = kept.get("next_look", LOOK_EVERY)
        self._alarms: int = kept.get("alarms", 0)
        self._peak: float = kept.get("peak", 0.0)
        self.alarmed: bool = kept.get("alarmed", False)
        """Whether it has said so; then it only counts, until it is begun anew."""
        self.found: Change | None = None
        """What it was that was an alarm just now; it is kept nowhere."""

    def refer(self, value: float) -> None:
        """Hear an observation of the time before; all of these come first."""
        _add(self._reference, value)

    def see(self, value: float, at: float) -> bool:
        """Hear an observation of the version that is watched; returns whether that is an alarm.

        Args:
            value: from 0 to 1.
            at: its time, to say since when.
        """
        if not self.alarmed and self._own[0] % self._spacing == 0:
            self._open(at)
        _add(self._own, value)
        if self.alarmed or self._own[0] < self._next_look:
            return False
        count = int(self._own[0])
        self._next_look = count + max(LOOK_EVERY, count // LOOK_SHARE)
        return self.look()

    def look(self) -> bool:
        """Weigh the evidence now; returns whether that is an alarm, of which there is one."""
        if self.alarmed or not self._own[0]:
            return False
        best, evidence = self._weighed()
        self._peak = max(self._peak, evidence)
        count, total = self._after(best)
        before, total_before = best[0], best[1]
        far = before > 0 and abs(total / count - total_before / before) >= self._least
        self.alarmed = far and evidence >= math.log(self.needed)
        if self.alarmed:
            self.found = self.change()
        return self.alarmed

    def anew(self) -> "Detector":
        """Return one that has heard nothing yet, for what comes after an alarm was taken note of."""
        fresh = Detector(alpha=self._alpha, side=self._side, least=self._least)
        fresh._alarms = self._alarms + 1
        return fresh

    def change(self) -> Change:
        """Return the likeliest moment of a change, whether or not there was one.

        Raises:
            ValueError: it has seen nothing of the version yet.
        """
        if not self._own[0]:
            raise ValueError("Nothing was seen of the version that is watched.")
        best, evidence = self._weighed()
        count, total = self._after(best)
        return Change(
            at=best[3],
            before=estimate(best[1], best[0]),
            after=estimate(total, count),
            evidence=math.exp(min(evidence, 700.0)),
        )

    @property
    def needed(self) -> float:
        """The e-value that is an alarm."""
        return float(2.0 ** (self._alarms + 1) / self._alpha)

    @property
    def evidence(self) -> float:
        """The largest e-value so far; 1 is none."""
        return math.exp(min(self._peak, 700.0))

    @property
    def reference(self) -> Estimate:
        """What the measure was before."""
        return estimate(self._reference[1], self._reference[0])

    @property
    def own(self) -> Estimate:
        """What it is of the version that is watched, since it answers."""
        return estimate(self._own[1], self._own[0])

    def state(self) -> dict[str, Any]:
        """Return everything it knows as plain data; some kilobytes at most."""
        return {
            "reference": self._reference,
            "own": self._own,
            "starts": self._starts,
            "opened": self._opened,
            "spacing": self._spacing,
            "next_look": self._next_look,
            "alarms": self._alarms,
            "peak": self._peak,
            "alarmed": self.alarmed,
        }

    def _open(self, at: float) -> None:
        """Bet on a change at this moment, with what was known before it."""
        opened = self._opened
        share = 0.5 if opened == 0 else 0.5 / (opened * (opened + 1))
        self._opened += 1
        count = self._reference[0] + self._own[0]
        total = self._reference[1] + self._own[1]
        self._starts.append([count, total, math.log(share), at])
        if len(self._starts) > MOST_STARTS:
            # Which are kept depends on their number alone, never on what was seen.
            self._spacing *= 2
            first = self._reference[0]
            self._starts = [each for each in self._starts if (each[0] - first) % self._spacing == 0]

    def _weighed(self) -> tuple[list[float], float]:
        """The likeliest moment, and the logarithm of what all bets together are worth."""
        grown = self._log_evidence()
        best = int(grown.argmax())
        top = float(grown[best])
        if top == -math.inf:
            return self._starts[best], top
        return self._starts[best], top + math.log(float(np.exp(grown - top).sum()))

    def _after(self, start: list[float]) -> tuple[float, float]:
        """How many observations came from a moment on, and what they add up to."""
        count = self._reference[0] + self._own[0] - start[0]
        return count, max(0.0, self._reference[1] + self._own[1] - start[1])

    def _log_evidence(self) -> Floats:
        """The weighted logarithm of each bet."""
        starts = np.array(self._starts)
        before, total_before, weight = starts[:, 0], starts[:, 1], starts[:, 2]
        count = self._reference[0] + self._own[0]
        total = self._reference[1] + self._own[1]
        # Not below nothing: sums of fractions are off by a little.
        good = np.maximum(total - total_before, 0.0)
        bad = np.maximum(count - before - good, 0.0)
        lost_before = np.maximum(before - total_before, 0.0)
        after = betaln(good + _PRIOR, bad + _PRIOR) - _LOG_PI
        if self._side != "both":
            after = after + self._beyond(before, total_before, good, bad)
        mean = total / count
        alike = xlogy(total, mean) + xlogy(count - total, 1.0 - mean)
        found: Floats = (
            weight + betaln(total_before + _PRIOR, lost_before + _PRIOR) - _LOG_PI + after - alike
        )
        return found

    def _beyond(self, before: Floats, total_before: Floats, good: Floats, bad: Floats) -> Floats:
        """What leaving out every mean on the other side of the mean before is worth.

        That mean is known when the bet is made, so what is averaged over is still fixed beforehand.
        """
        level = np.divide(total_before, before, out=np.full(len(before), 0.5), where=before > 0)
        ours, others = good + _PRIOR, bad + _PRIOR
        if self._side == "up":
            level, ours, others = 1.0 - level, others, ours
        with np.errstate(divide="ignore", invalid="ignore"):  # no chance is no evidence
            share = np.log(betainc(ours, others, level))
            prior = np.log(betainc(_PRIOR, _PRIOR, level))
            worth = share - prior
        found: Floats = np.where(np.isfinite(prior), worth, -math.inf)
        return found


def _add(sums: list[float], value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"An observation lies from 0 to 1, and {value} does not.")
    sums[0] += 1
    sums[1] += value
