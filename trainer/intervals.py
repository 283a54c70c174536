"""The gate's statistics: how far two models' accuracies on the same items may truly differ.

Knows arrays of counts only: no suite, no plan, no verdict. Differences are shares (0.02 is two
points), candidate minus incumbent. Every bound is one-sided, at 95% unless `alpha` says otherwise.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.optimize import brentq
from scipy.special import bdtrc, betaincinv, ndtr, ndtri, stdtrit

ALPHA = 0.05
POWER = 0.8
RESAMPLES = 5_000
REACH = 12.0
CONTINUITY = 0.5
FEW = 10
"""With fewer discordant clusters, resampling them says too little of those that were not drawn."""

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]
Amounts = Counts | Shares


@dataclass(frozen=True)
class Interval:
    """A paired difference in accuracy and its one-sided 95% bounds.

    Attributes:
        estimate: candidate minus incumbent, as a share of the items.
        lower: 95% confident that the difference is above this.
        upper: 95% confident that the difference is below this.
        items: how many items were compared.
        clusters: how many independent groups they form.
        lost: items that only the incumbent got right.
        gained: items that only the candidate got right.
        design_effect: how many items carry the information of one independent item, ≥1.
    """

    estimate: float
    lower: float
    upper: float
    items: int
    clusters: int
    lost: int
    gained: int
    design_effect: float

    @property
    def discordant(self) -> int:
        """Items on which the two disagree."""
        return self.lost + self.gained


def paired_difference(
    changes: Sequence[int],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    alpha: float = ALPHA,
) -> Interval:
    """Bounds the difference in accuracy of two models that answered the same items.

    Items of one cluster (one person, one fact in five phrasings) are not independent, so the
    cluster is what is resampled or counted. With ten or more discordant clusters, and ten or
    more outside the commonest outcome: the wider of the cluster bootstrap's bound, BCa, and of
    the score test's on clusters. With fewer they would have almost no width: an exact or score
    bound on counts of clusters.

    Args:
        changes: per item +1 (the candidate gained it), −1 (lost it) or 0 (both alike).
        clusters: per item the group that it belongs to.
        seed: of the resampling; the order of the items does not matter.
        alpha: the chance that the truth lies below the lower bound, and the same above the upper.

    Raises:
        ValueError: there are no items, or the two sequences differ in length.
    """
    if not changes or len(changes) != len(clusters):
        raise ValueError("paired_difference needs one change and one cluster for every item.")
    change = np.asarray(changes, dtype=np.int64)
    groups = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    member = np.asarray([groups[name] for name in clusters], dtype=np.int64)
    sizes: Counts = np.bincount(member)
    net: Counts = np.bincount(member[change > 0], minlength=len(sizes)) - np.bincount(
        member[change < 0], minlength=len(sizes)
    )

    if _few(net):
        lower = few_discordant_bound(net, sizes, alpha)
        upper = -few_discordant_bound(-net, sizes, alpha)
        design_effect = float((sizes**2).sum() / sizes.sum())
    else:
        # With few clusters the bootstrap alone covers a little too little: the wider of two.
        bounds = (
            bootstrap_bounds(net, sizes, seed=seed, alpha=alpha),
            score_bounds(net, sizes, alpha),
        )
        lower, upper = min(low for low, _ in bounds), max(high for _, high in bounds)
        design_effect = _design_effect(change, net, sizes)
    return Interval(
        estimate=float(change.mean()),
        lower=max(-1.0, lower),
        upper=min(1.0, upper),
        items=len(change),
        clusters=len(sizes),
        lost=int((change < 0).sum()),
        gained=int((change > 0).sum()),
        design_effect=design_effect,
    )


def mean_change(
    totals: Sequence[float], sizes: Sequence[int], clusters: Sequence[Hashable], *, seed: int = 0
) -> tuple[float, float, float]:
    """Σtotals / Σsizes with its one-sided 95% bounds, for amounts rather than counts.

    Args:
        totals: per item the summed change, such as nats over all of its tokens.
        sizes: per item how much it weighs, such as its tokens.
        clusters: per item its group; groups are resampled whole.
        seed: of the resampling.

    Returns:
        The estimate, and what it lies above and below with 95% confidence; infinite with fewer
        than two groups, or where an amount is no finite number.
    """
    groups = {name: number for number, name in enumerate(dict.fromkeys(clusters))}
    member = np.asarray([groups[name] for name in clusters], dtype=np.int64)
    net = np.bincount(member, weights=np.asarray(totals, dtype=np.float64))
    weight = np.bincount(member, weights=np.asarray(sizes, dtype=np.float64))
    estimate = float(net.sum() / weight.sum())
    if len(groups) < 2 or not math.isfinite(estimate):
        return estimate, -math.inf, math.inf
    return estimate, *bootstrap_bounds(net, weight, seed=seed)


def bootstrap_bounds(
    net: Amounts, sizes: Amounts, *, seed: int = 0, alpha: float = ALPHA
) -> tuple[float, float]:
    """One-sided bounds of Σnet / Σsizes when whole clusters are resampled.

    Bias-corrected and accelerated (Efron 1987, "Better bootstrap confidence intervals"), since
    rare losses are skewed, with normal quantiles widened to t's so that few clusters do not pass
    for many (Hesterberg 2015, "What teachers should know about the bootstrap", expanded
    percentiles). Where the statistic can only take some values, a bound is the first beyond.

    Args:
        net: per cluster, items gained minus items lost.
        sizes: per cluster, its items, or what they weigh.
        seed: of the resampling, which only clusters of unequal size need.
        alpha: what either bound may miss.
    """
    kinds, counts = _kinds(net, sizes)
    total = len(net)
    values, shares = _resampled(kinds, counts, seed)
    estimate = net.sum() / sizes.sum()

    # Half of the ties: the statistic is discrete.
    reached = np.cumsum(shares)
    at = np.searchsorted(values, estimate - 1e-12)
    tied = shares[at] if at < len(values) and abs(values[at] - estimate) < 1e-12 else 0.0
    below = (reached[at - 1] if at else 0.0) + tied / 2
    bias = ndtri(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    without = (net.sum() - kinds[:, 0]) / (sizes.sum() - kinds[:, 1])
    influence = np.average(without, weights=counts) - without
    spread = (counts * influence**2).sum() ** 1.5
    acceleration = (counts * influence**3).sum() / (6 * spread) if spread else 0.0

    reach = math.sqrt(total / (total - 1)) * stdtrit(total - 1, 1 - alpha)
    shifted = bias + np.array([-reach, reach])
    levels = ndtr(bias + shifted / (1 - acceleration * shifted))
    last = len(values) - 1
    # The first value beyond: an item more or less would not have been as likely as `alpha`.
    lower = values[max(0, int(np.searchsorted(reached, levels[0], side="right")) - 1)]
    upper = values[min(last, int(np.searchsorted(reached, levels[1], side="left")) + 1)]
    return float(lower), float(upper)


def score_bounds(net: Counts, sizes: Counts, alpha: float = ALPHA) -> tuple[float, float]:
    """One-sided bounds of Σnet / Σsizes by the score test on clusters.

    The differences that the test does not reject, with the variance between clusters taken about
    each difference and not about the estimate (Boos 1992, "On generalized score tests"; for paired
    answers in clusters at a difference of none Durkalski et al. 2003, "Analysis of clustered
    matched-pair data"), t's quantile for the number of clusters, and half an item's correction for
    continuity (Yates 1934). Infinite where the clusters are too few or too unequal to reject any.

    Args:
        net: per cluster, items gained minus items lost; at least two clusters.
        sizes: per cluster, its items.
        alpha: what either bound may miss.
    """
    total = len(net)
    weight = float(stdtrit(total - 1, 1 - alpha)) ** 2 * total / (total - 1)
    items = float(sizes.sum())
    square = items**2 - weight * float(sizes @ sizes)
    if square <= 0:
        return -math.inf, math.inf

    def bound(side: int) -> float:
        gained = float(net.sum()) + side * CONTINUITY
        linear = gained * items - weight * float(net @ sizes)
        constant = gained**2 - weight * float(net @ net)
        return (linear + side * math.sqrt(max(0.0, linear**2 - square * constant))) / square

    return bound(-1), bound(1)


def few_discordant_bound(net: Counts, sizes: Counts, alpha: float = ALPHA) -> float:
    """Lower bound of the difference where few clusters differ. Negate for the upper one.

    A cluster that lost net counts as one loss, however little of it was lost. Without gains the
    bound is exact: Clopper & Pearson (1934) on the loss probability. With gains it is the score
    bound for paired proportions (Tango 1998); it excludes zero only where the exact sign test
    (McNemar 1947, conditional form) does. Clusters of unequal size count as Kish's effective
    number of equal ones (Korn & Graubard 1998), and gains only for the share they truly won.

    Args:
        net: per cluster, items gained minus items lost.
        sizes: per cluster, its items.
        alpha: what the bound may miss.
    """
    items = int(sizes.sum())
    units = items**2 / float((sizes**2).sum())
    lost, gained = int((net < 0).sum()), int((net > 0).sum())
    losses = min(units, max(lost, units * -float(net[net < 0].sum()) / items))
    gains = min(gained, units * float(net[net > 0].sum()) / items)
    if not gained:
        return -clopper_pearson_upper(losses, units, alpha)
    bound = tango_lower(gains, losses, units, alpha)
    return bound if sign_test(gained, lost) < alpha else min(bound, 0.0)


def clopper_pearson_upper(count: float, total: float, alpha: float = ALPHA) -> float:
    """Upper bound of a proportion (Clopper & Pearson 1934); counts may be effective ones."""
    return 1.0 if count >= total else float(betaincinv(count + 1, total - count, 1 - alpha))


def wilson(count: int, total: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Two-sided interval of a proportion, 95% unless `alpha` says otherwise (Wilson 1927).

    Args:
        count: of successes.
        total: at least one.
        alpha: what both bounds together may miss.
    """
    reach = float(ndtri(1 - alpha / 2))
    share, spread = count / total, reach**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = reach / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def tango_lower(gains: float, losses: float, total: float, alpha: float = ALPHA) -> float:
    """Lower bound of (gains − losses) / total for paired proportions.

    Inverts the score test with its constrained estimate: Tango (1998), "Equivalence test and
    confidence interval for the difference in proportions for the paired-sample design".
    """
    estimate = (gains - losses) / total
    quantile = float(ndtri(1 - alpha))

    def excess(delta: float) -> float:
        linear = -gains - losses + (2 * total - gains + losses) * delta
        constant = -losses * delta * (1 - delta)
        root = math.sqrt(max(linear**2 - 8 * total * constant, 0.0))
        nuisance = max((root - linear) / (4 * total), 0.0)
        variance = total * (2 * nuisance + delta * (1 - delta))
        return total * (estimate - delta) - quantile * math.sqrt(max(variance, 0.0))

    # At ±1 itself the variance vanishes and the equation holds for no reason.
    if excess(-1 + 1e-12) <= 0:
        return -1.0
    return float(brentq(excess, -1 + 1e-12, min(estimate, 1 - 1e-12)))


def sign_test(gained: int, lost: int) -> float:
    """Chance of so many gains among the discordant if each could as well have been a loss.

    The exact, one-sided, conditional form of McNemar's test (McNemar 1947).
    """
    return float(bdtrc(gained - 1, gained + lost, 0.5))


def items_for_power(
    *, discordance: float, effect: float, margin: float = 0.0, alpha: float = ALPHA
) -> int:
    """Independent items with which the lower bound clears −margin four times in five.

    Normal approximation for paired proportions (Connor 1987; non-inferiority: Nam 1997).

    Args:
        discordance: share of the items on which the two models disagree.
        effect: the true difference, candidate minus incumbent, as a share.
        margin: how far below zero the bound may lie, as a share.
        alpha: what the bound may miss.

    Raises:
        ValueError: the effect is not above −margin, so that no number of items is enough.
    """
    if effect <= -margin:
        raise ValueError("No number of items shows a difference that is not there.")
    quantiles = float(ndtri(1 - alpha) + ndtri(POWER))
    variance = max(discordance, abs(effect)) - effect**2
    return math.ceil(quantiles**2 * variance / (effect + margin) ** 2)


def _kinds(net: Amounts, sizes: Amounts) -> tuple[NDArray[Any], Counts]:
    """Clusters with the same (net, size) are interchangeable: (kinds, 2), and how often each is.

    Drawing how often each kind occurs is the same bootstrap, with three columns for thousands.
    """
    # One number for both: sorting pairs takes ten times as long.
    _, first, counts = np.unique(net + 1j * sizes, return_index=True, return_counts=True)
    return np.stack([net[first], sizes[first]], axis=1), counts.astype(np.int64)


def _resampled(kinds: NDArray[Any], counts: Counts, seed: int) -> tuple[Shares, Shares]:
    """What Σnet / Σsizes is in resamples of clusters, in order, and how often."""
    if (kinds[:, 1] == kinds[0, 1]).all() and np.issubdtype(kinds.dtype, np.integer):
        return _every_resample(kinds[:, 0], int(kinds[0, 1]), counts)
    total = int(counts.sum())
    draws = np.random.default_rng(seed).multinomial(total, counts / total, size=RESAMPLES)
    values, drawn = np.unique((draws @ kinds[:, 0]) / (draws @ kinds[:, 1]), return_counts=True)
    return values, drawn / RESAMPLES


def _every_resample(nets: Counts, size: int, counts: Counts) -> tuple[Shares, Shares]:
    """The same over every resample that there is, and no chance, where clusters are of one size.

    The sum of as many draws as there are clusters is distributed as one draw convolved with itself
    so often. Sums further than `REACH` standard deviations away are left out.
    """
    total = int(counts.sum())
    middle = int(counts @ nets)
    spread = math.sqrt(float(counts @ nets**2) - middle**2 / total)
    half = math.ceil(REACH * spread) + int(np.abs(nets).max())
    length = next_fast_len(2 * half + 1, real=True)
    once = np.zeros(length)
    once[nets % length] = counts / total
    sums = np.arange(middle - half, middle + half + 1)
    shares = np.maximum(irfft(rfft(once) ** total, length)[sums % length], 0.0)
    return sums / (total * size), shares / shares.sum()


def _few(net: Counts) -> bool:
    """Whether too few clusters differ for a bootstrap.

    Discordant clusters are counted by Kish's effective number, which is their number where they
    changed alike: three that lost ten items each weigh more than ten that lost one.
    """
    discordant = float(np.abs(net).sum()) ** 2 / max(float((net**2).sum()), 1.0)
    commonest = max((net < 0).sum(), (net == 0).sum(), (net > 0).sum())
    return bool(discordant < FEW or len(net) - commonest < FEW)


def _design_effect(change: Counts, net: Counts, sizes: Counts) -> float:
    """Variance of the mean by clusters over the variance as if items were independent."""
    estimate = change.mean()
    independent = ((change - estimate) ** 2).sum()
    clustered = ((net - sizes * estimate) ** 2).sum()
    return max(1.0, float(clustered / independent)) if independent else 1.0
