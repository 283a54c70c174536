"""Two versions compared while people use them, by evidence that may be looked at after every vote.

Pure: knows no database, no adapter and no clock. Numbers come in as they are learned; what is asked of
them is valid at every moment at once, so that nobody has to say beforehand when they will look.

The bets are those of Waudby-Smith and Ramdas 2024, *Estimating means of bounded random variables by
betting*, on the difference of two bounded streams as in Shekhar and Ramdas 2023, *Nonparametric
two-sample testing by betting*. Whoever bets against a true hypothesis multiplies a stake by 20 with a
probability of at most 1/20, however long they play and whenever they stop (Ville 1939). The interval
holds every difference against which the bets did not win: a confidence sequence (Howard et al. 2021,
*Time-uniform, nonparametric, nonasymptotic confidence sequences*).

Votes of one person are not independent, so a person counts once in a stream: with their first vote, or
with the mean of their first few. Each stream is a fair game by itself, whatever else is known of the
same people; several streams share one error probability by their weights (union bound).
"""

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BETS: Floats = np.array([0.14, 0.18, 0.40, 0.65, 0.90])
"""Shares of the stake that are put on the next pair, side by side."""
STAKES: Floats = np.array([0.40, 0.40, 0.18, 0.01, 0.01])
"""What each begins with: most for small losses, which take longest to see. Fixed beforehand."""
MOST_BET = 0.95
MOST_RATIO = 32
TOLERANCE = 1e-4
"""Bounds are found to a hundredth of a point."""

Decision = Literal["continue", "commit", "rollback"]


def bets(ratio: int) -> Floats:
    """Return the shares that are bet where one person stands against the mean of `ratio` others.

    Such a difference varies less than one of two people, and the best bet on a shift grows as the
    variance falls: by 2·ratio / (ratio + 1).
    """
    return np.minimum(BETS * 2 * ratio / (ratio + 1), MOST_BET)


def log_growth(differences: Floats, mean: float, shares: Floats) -> Floats:
    """Return by how much each bettor's stake grew, betting that the true mean is above `mean`.

    Args:
        differences: (n,) from −1 to 1.
        mean: the hypothesis is that the true mean is at most this; above −1.
        shares: (k,) of the stake, below 1.

    Returns:
        (k,) natural logarithms; stakes × exp of these is an e-process under the hypothesis.
    """
    gains = (1.0 + differences) / (1.0 + mean) - 1.0
    grown: Floats = np.log1p(np.multiply.outer(gains, shares)).sum(axis=0)
    return grown


def evidence(grown: Floats) -> Floats:
    """Return the logarithm of the e-value that bettors have together.

    Args:
        grown: (…, k) logarithms, as `log_growth` returns them.

    Returns:
        (…)
    """
    top = grown.max(axis=-1)
    found: Floats = top + np.log(np.exp(grown - top[..., None]) @ STAKES)
    return found


def lower_bound(differences: Floats, ratio: int, *, alpha: float) -> float:
    """Return what the true mean is above, at all times at once, with probability 1 − alpha.

    Args:
        differences: (n,) from −1 to 1, in the order in which they came.
        ratio: see `bets`.
        alpha: the error probability of this side.
    """
    shares = bets(ratio)

    def against(mean: float) -> float:
        return float(evidence(log_growth(differences, mean, shares)))

    low, high = -1.0 + TOLERANCE, 1.0
    goal = math.log(1.0 / alpha)
    if not len(differences) or against(low) < goal:
        return -1.0
    while high - low > TOLERANCE:  # the higher the hypothesis, the less there is against it
        middle = (low + high) / 2
        low, high = (middle, high) if against(middle) >= goal else (low, middle)
    return low


@dataclass(frozen=True)
class Result:
    """Where one stream stands. Differences are shares, new minus old: −0.02 is two points worse.

    Attributes:
        stream: its name.
        old_people: how many people of the old version count.
        new_people: … of the new one.
        pairs: comparisons made of them.
        old_mean: mean of the old version's people; None without any.
        new_mean: … of the new one's.
        estimate: mean difference over the pairs.
        lower: the difference is above this …
        upper: … and below this, with 95% confidence (each side half), whenever one looks.
        evidence: the largest e-value so far against "not worse".
        needed: the e-value at which it counts as worse.
        worse: whether it was ever reached.
        not_worse: whether "worse than the margin allows" was ever refuted.
    """

    stream: str
    old_people: int
    new_people: int
    pairs: int
    old_mean: float | None
    new_mean: float | None
    estimate: float | None
    lower: float
    upper: float
    evidence: float
    needed: float
    worse: bool
    not_worse: bool


class Stream:
    """One kind of evidence: values from 0 (bad) to 1 (good), of people who met one version each.

    Args:
        name: of the stream.
        share: share of the people whom the new version answers; above 0, below 1.
        alpha: the error probability of all streams together.
        weight: this stream's part of it, to call it worse.
        safe_weight: this stream's part of it, to call it not worse.
        margin: how much worse is still "not worse", as a share.
        per_person: a person counts once they have said so much, with the mean of it.
    """

    def __init__(
        self,
        name: str,
        *,
        share: float,
        alpha: float,
        weight: float,
        safe_weight: float,
        margin: float,
        per_person: int = 1,
    ) -> None:
        self.name = name
        self._alpha = alpha
        self._needed = 1.0 / (alpha * weight)
        self._safe = math.log(1.0 / (alpha * safe_weight)) if safe_weight else math.inf
        self._margin = margin
        self._per_person = per_person
        self._few_is_new = share <= 0.5
        few = min(share, 1.0 - share)
        self.ratio = max(1, min(MOST_RATIO, round((1.0 - few) / few)))
        self._shares = bets(self.ratio)
        self._heard: dict[str, list[float]] = defaultdict(list)
        self._waiting: dict[bool, deque[float]] = {True: deque(), False: deque()}
        self._sums: dict[bool, tuple[int, float]] = {True: (0, 0.0), False: (0, 0.0)}
        self._differences: list[float] = []
        self._against, self._for = np.zeros(len(BETS)), np.zeros(len(BETS))
        self._peak, self._safe_peak = 0.0, -math.inf

    def see(self, person: str, value: float, *, new: bool) -> None:
        """Hear of one person, in the order in which it became known; beyond their due, nothing.

        Raises:
            ValueError: the value is not from 0 to 1.
        """
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"A value of a stream lies from 0 to 1, and {value} does not.")
        said = self._heard[person]
        if len(said) >= self._per_person:
            return
        said.append(value)
        if len(said) == self._per_person:
            self._count(sum(said) / len(said), new=new)

    @property
    def margin_points(self) -> float:
        """How many points worse is still "not worse"."""
        return 100 * self._margin

    @property
    def guards(self) -> bool:
        """Whether it has to show that it is not worse before a version stays, where it can."""
        return math.isfinite(self._safe) and bool(self._differences)

    @property
    def people(self) -> int:
        """How many people of the new version count."""
        return self._sums[True][0]

    @property
    def pairs(self) -> int:
        """How many comparisons were made."""
        return len(self._differences)

    @property
    def evidence(self) -> float:
        """The largest e-value so far against "not worse"."""
        return math.exp(min(self._peak, 700.0))

    @property
    def worse(self) -> bool:
        """Whether the new version was ever shown to be worse."""
        return self._peak >= math.log(self._needed)

    @property
    def not_worse(self) -> bool:
        """Whether it was ever shown to be worse by less than the margin, if at all."""
        return self._safe_peak >= self._safe

    def result(self) -> Result:
        """Return where it stands, with the interval; takes a few milliseconds."""
        found = np.array(self._differences)
        means = {
            new: total / count if count else None for new, (count, total) in self._sums.items()
        }
        return Result(
            stream=self.name,
            old_people=self._sums[False][0],
            new_people=self._sums[True][0],
            pairs=self.pairs,
            old_mean=means[False],
            new_mean=means[True],
            estimate=float(found.mean()) if len(found) else None,
            lower=lower_bound(found, self.ratio, alpha=0.025),
            upper=-lower_bound(-found, self.ratio, alpha=0.025),
            evidence=self.evidence,
            needed=self._needed,
            worse=self.worse,
            not_worse=self.not_worse,
        )

    def _count(self, value: float, *, new: bool) -> None:
        count, total = self._sums[new]
        self._sums[new] = (count + 1, total + value)
        self._waiting[new].append(value)
        few, many = self._waiting[self._few_is_new], self._waiting[not self._few_is_new]
        # Who stands against whom is decided by the order in which people come, and by nothing that
        # they say: that is what makes each comparison a fair bet.
        while few and many:
            others = [many.popleft() for _ in range(min(self.ratio, len(many)))]
            difference = few.popleft() - sum(others) / len(others)
            self._bet(difference if self._few_is_new else -difference)

    def _bet(self, difference: float) -> None:
        self._differences.append(difference)
        one = np.array([difference])
        self._against += log_growth(-one, 0.0, self._shares)
        self._for += log_growth(one, -self._margin, self._shares)
        self._peak = max(self._peak, float(evidence(self._against)))
        self._safe_peak = max(self._safe_peak, float(evidence(self._for)))


@dataclass(frozen=True)
class Verdict:
    """What the evidence says to do, and why, in a sentence."""

    decision: Decision
    reason: str


def judge(
    streams: Mapping[str, Stream], *, decisive: tuple[str, ...], minimum_people: int
) -> Verdict:
    """Say whether the new version goes, stays for everybody, or has to be watched for longer.

    It goes as soon as any stream shows it to be worse. It stays once a decisive stream shows that it
    is not worse by the margin, and so does every other that could; never because time has passed.

    Args:
        streams: by name.
        decisive: the streams of which one has to speak for it.
        minimum_people: so many people must have met it, in a decisive stream.
    """
    for name, stream in streams.items():
        if stream.worse:
            found = stream.result()
            return Verdict(
                "rollback",
                f"{name}: {_percent(found.new_mean)} good against {_percent(found.old_mean)} of the "
                f"version before ({found.new_people} and {found.old_people} people); evidence "
                f"{found.evidence:.3g}, where {found.needed:.3g} is enough to call it worse.",
            )
    spoken = [streams[name] for name in decisive if streams[name].not_worse]
    if not spoken:
        return Verdict("continue", "Too little is known yet: neither worse, nor surely not worse.")
    people = max(streams[name].people for name in decisive)
    if people < minimum_people:
        return Verdict("continue", f"It has met {people} of at least {minimum_people} people.")
    unsure = [
        name
        for name, stream in streams.items()
        if name not in decisive and stream.guards and not stream.not_worse
    ]
    if unsure:
        return Verdict("continue", f"Not sure enough yet of its {' and '.join(unsure)}.")
    found = spoken[0].result()
    return Verdict(
        "commit",
        f"{found.stream}: {_percent(found.new_mean)} good against {_percent(found.old_mean)} of the "
        f"version before ({found.new_people} and {found.old_people} people); surely less than "
        f"{spoken[0].margin_points:g} points worse.",
    )


def _percent(mean: float | None) -> str:
    return "nothing" if mean is None else f"{mean:.1%}"
