"""The gate's rules, one by one: what was measured, what is allowed, and a sentence for a person.

Knows nothing of how rules add up to a verdict. Pure.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from feedback.text import counted
from trainer.evidence import Paired
from trainer.intervals import ALPHA, Interval, items_for_power, paired_difference
from trainer.plan_gate import RuleName

Name = RuleName | Literal["reviewed-pairs"]
Ruling = Literal["holds", "refuse", "abstain", "not checked"]
Unit = Literal["points", "nats/token", "percent", "items"]

LEAST_DISCORDANCE = 0.1
"""Assumed when saying how many items are needed: a small sample that agrees proves little."""
LEAST_GAIN = 0.03
"""A gain smaller than this is not worth waiting for: it takes thousands of items to see."""
FEWEST_GAINS = 5
"""The fewest gains without a loss for which the exact sign test is below 5%."""
FEWEST_PROMPTS = 10
"""A mean over fewer prompts than this refuses nobody: one odd answer decides it."""


class Rule(BaseModel):
    """One rule, applied.

    Attributes:
        name: what the rule demands.
        suite: what it was applied to.
        outcome: `refuse` where the evidence is of harm, `abstain` where there is too little.
        unit: of the estimate, its bounds and the margin.
        estimate: what was measured; None where it is no finite number or was not checked.
        lower: 95% confident that the truth is above this, where there is a bound.
        upper: 95% confident that it is below this.
        margin: how far from zero the rule allows.
        items: how many items or prompts it rests on.
        clusters: how many independent groups they form.
        lost: items that only the incumbent got right.
        gained: items that only the candidate got right.
        discordant: the sum of the two.
        needed: about how many more such items would tell, where more would.
        sentence: all of it in plain English.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    suite: str
    outcome: Ruling
    unit: Unit
    margin: float
    sentence: str
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    items: int = 0
    clusters: int = 0
    lost: int = 0
    gained: int = 0
    discordant: int = 0
    needed: int | None = None


def non_inferior(
    suite: str,
    label: str,
    pairs: Sequence[Paired],
    *,
    margin_points: float,
    seed: int,
    name: Name = "non-inferiority",
    alpha: float = ALPHA,
) -> Rule:
    """A suite may not lose the margin: the lower bound of the change lies above it.

    Refuses where the loss is real (its upper bound is below zero) and exceeds the margin.

    Args:
        suite: the name to report.
        label: what the sentence calls it.
        pairs: its items, at least one.
        margin_points: what may be lost, unless an item asks for less.
        seed: of the resampling.
        name: of the rule that this is.
        alpha: what either bound may miss: less than 5% where several are to hold at once.
    """
    own = [pair.margin_points for pair in pairs if pair.margin_points is not None]
    points = min(own) if own else margin_points
    margin = points / 100
    found = _difference(pairs, seed, alpha)
    needed = None
    if found.lower > -margin:
        outcome: Ruling = "holds"
        told = (
            f"With 95% confidence it lost less than {_points(-found.lower)}"
            if found.lower < 0
            else "With 95% confidence it lost nothing"
        ) + f"; {points:g} are allowed."
    elif found.upper < 0 and found.estimate < -margin:
        outcome = "refuse"
        told = (
            f"With 95% confidence it lost at least {_points(-found.upper)}, and as measured more "
            f"than the {points:g} allowed."
        )
    else:
        outcome = "abstain"
        needed = _needed_to_hold(found, margin, alpha)
        told = (
            f"It may have lost up to {_points(-found.lower)}, and {points:g} are allowed; "
            + _more(needed, found, _spotless(found, margin, alpha))
        )
    return _applied(
        name=name,
        suite=suite,
        label=label,
        outcome=outcome,
        found=found,
        margin_points=points,
        needed=needed,
        told=told,
    )


def superior(
    suite: str, label: str, pairs: Sequence[Paired], *, seed: int, gain_points: float = 0.0
) -> Rule:
    """What the round was to learn, it learned: the gain's lower 95% bound is above what is asked.

    Args:
        suite: the name to report.
        label: what the sentence calls it.
        pairs: the held-out items, at least one.
        seed: of the resampling.
        gain_points: what must be exceeded.
    """
    found = _difference(pairs, seed)
    needed = None
    if found.lower > gain_points / 100:
        outcome: Ruling = "holds"
        told = f"With 95% confidence the gain is at least {_points(found.lower)}."
    elif found.upper < 0:
        outcome = "refuse"
        told = f"With 95% confidence it is worse, by at least {_points(-found.upper)}."
    else:
        outcome = "abstain"
        needed = _needed_to_gain(found, gain_points / 100)
        least = (
            f"less than the {gain_points:g} points asked for" if gain_points else "no gain at all"
        )
        told = f"That may be {least}; {_more(needed, found)}"
    return _applied(
        name="superiority",
        suite=suite,
        label=label,
        outcome=outcome,
        found=found,
        margin_points=gain_points,
        needed=needed,
        told=told,
    )


def drift(suite: str, label: str, kl_nats: Sequence[float], *, max_kl_nats: float) -> Rule:
    """Where nobody asked for a change, the distribution of answers stays.

    Args:
        suite: the name to report.
        label: what the sentence calls it.
        kl_nats: per prompt, in nats per token; at least one.
        max_kl_nats: what their mean may be.
    """
    mean = sum(kl_nats) / len(kl_nats)
    finite = math.isfinite(mean)
    holds = finite and mean <= max_kl_nats
    return Rule(
        name="drift",
        suite=suite,
        outcome="holds" if holds else _beyond(len(kl_nats)),
        unit="nats/token",
        estimate=mean if finite else None,
        margin=max_kl_nats,
        items=len(kl_nats),
        clusters=len(kl_nats),
        sentence=f"{label}: over {counted(len(kl_nats), 'prompt')} the candidate drifted by "
        + (f"{mean:.3f} nats per token" if finite else "no finite amount")
        + f"; {max_kl_nats:g} are allowed."
        + ("" if holds else _too_few(len(kl_nats))),
    )


def same_length(
    suite: str,
    label: str,
    lengths: Sequence[tuple[int, int]],
    *,
    baseline: str,
    max_change: float,
) -> Rule:
    """Answers stay about as long as they should be: mean length against a baseline's.

    Args:
        suite: the name to report.
        label: what the sentence calls it.
        lengths: (baseline's, candidate's) length per prompt, at least one.
        baseline: whose length is the measure, for the sentence.
        max_change: what the mean may change by, as a share.
    """
    wanted = sum(before for before, _ in lengths)
    got = sum(after for _, after in lengths)
    # A share of 0.15 must not fail at exactly 15% because of rounding.
    holds = abs(got - wanted) <= max_change * wanted * (1 + 1e-9)
    change = (got - wanted) / wanted if wanted else None
    return Rule(
        name="length",
        suite=suite,
        outcome="holds" if holds else _beyond(len(lengths)),
        unit="percent",
        estimate=None if change is None else 100 * change,
        margin=100 * max_change,
        items=len(lengths),
        clusters=len(lengths),
        sentence=f"{label}: over {counted(len(lengths), 'prompt')} the candidate's answers are on "
        f"average {got / len(lengths):.1f} long, {baseline} {wanted / len(lengths):.1f}"
        + ("" if change is None else f" ({100 * change:+.0f}%)")
        + f"; ±{100 * max_change:g}% are allowed."
        + ("" if holds else _too_few(len(lengths))),
    )


def not_checked(
    name: Name,
    suite: str,
    label: str,
    reason: str,
    *,
    margin: float,
    unit: Unit = "points",
) -> Rule:
    """A rule that had nothing to look at, and why."""
    return Rule(
        name=name,
        suite=suite,
        outcome="not checked",
        unit=unit,
        margin=margin,
        sentence=f"{label}: not checked, since {reason}.",
    )


def _beyond(prompts: int) -> Ruling:
    return "refuse" if prompts >= FEWEST_PROMPTS else "abstain"


def _too_few(prompts: int) -> str:
    if prompts >= FEWEST_PROMPTS:
        return ""
    return f" {FEWEST_PROMPTS - prompts} more would tell whether that is more than one odd answer."


def _difference(pairs: Sequence[Paired], seed: int, alpha: float = ALPHA) -> Interval:
    return paired_difference(
        [pair.change for pair in pairs],
        [pair.cluster for pair in pairs],
        seed=seed,
        alpha=alpha,
    )


def _needed_to_hold(found: Interval, margin: float, alpha: float) -> int | None:
    """Items still missing if nothing changed or, where there are enough for that, as measured."""
    for effect in (0.0, found.estimate):
        if -margin < effect <= 0:
            missing = _missing(found, effect, margin, alpha)
            if missing > 0:
                return missing
    return None


def _needed_to_gain(found: Interval, least: float) -> int | None:
    effect = max(found.estimate, least + LEAST_GAIN)
    missing = _missing(found, effect, -least)
    if missing > 0:
        return missing
    # Enough for a gain of this size, and yet no proof: a worthwhile one is close, others are not.
    return 1 if found.estimate >= least + LEAST_GAIN else None


def _missing(found: Interval, effect: float, margin: float, alpha: float = ALPHA) -> int:
    discordance = max(found.discordant / found.items, LEAST_DISCORDANCE)
    total = items_for_power(discordance=discordance, effect=effect, margin=margin, alpha=alpha)
    if margin <= 0:
        total = max(total, math.ceil(FEWEST_GAINS / discordance))
    return math.ceil(total * found.design_effect) - found.items


def _applied(
    *,
    name: Name,
    suite: str,
    label: str,
    outcome: Ruling,
    found: Interval,
    margin_points: float,
    needed: int | None,
    told: str,
) -> Rule:
    groups = f" in {found.clusters:,} clusters" if found.clusters < found.items else ""
    return Rule(
        name=name,
        suite=suite,
        outcome=outcome,
        unit="points",
        estimate=100 * found.estimate,
        lower=100 * found.lower,
        upper=100 * found.upper,
        margin=margin_points,
        items=found.items,
        clusters=found.clusters,
        lost=found.lost,
        gained=found.gained,
        discordant=found.discordant,
        needed=needed,
        sentence=f"{label}: the candidate lost {found.lost:,} and gained {found.gained:,} of "
        f"{counted(found.items, 'item')}{groups} ({100 * found.estimate:+.1f} points). {told}",
    )


def spotless_items(margin: float, alpha: float = ALPHA) -> int:
    """Independent items with which a suite that lost none of them holds, by the exact bound.

    Args:
        margin: what may be lost, as a share below 1.
        alpha: what the bound may miss.
    """
    return math.floor(math.log(alpha) / math.log1p(-margin)) + 1


def _spotless(found: Interval, margin: float, alpha: float) -> int | None:
    """Items still missing if none is ever lost; the exact bound is kinder than the power formula."""
    if found.lost or margin >= 1:
        return None
    return max(1, math.ceil(spotless_items(margin, alpha) * found.design_effect) - found.items)


def _more(needed: int | None, found: Interval, spotless: int | None = None) -> str:
    if needed is None:
        return "more items like these are unlikely to show otherwise."
    # More phrasings of the same facts would add items and tell nothing.
    where = " in new clusters" if found.clusters < found.items else ""
    kinder = "" if spotless is None else f", or {spotless:,} if none of them is lost"
    return f"about {needed:,} more {'item' if needed == 1 else 'items'}{where} would tell{kinder}."


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
