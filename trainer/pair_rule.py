"""The gate's rule about what reviewers prefer, and how it joins the others. Pure.

Knows no database and no model; what the verdicts are of is `trainer.pairs`.
"""

from collections.abc import Sequence

from trainer.gate import GateReport
from trainer.intervals import items_for_power, paired_difference
from trainer.pairs import Told
from trainer.plan_reviews import Reviewed
from trainer.rules import Rule, Ruling

SUITE = "reviewed pairs"
_LABEL = "Answers compared blind"
_LEAST_DISCORDANCE = 0.5
"""Assumed when saying how many pairs are needed: people who compare different answers mostly
prefer one."""


def is_required(report: GateReport, plan: Reviewed) -> bool:
    """Whether a round waits for reviewers: only one that every other rule would promote."""
    return (
        plan.gate_reviewed_pairs == "required" and report.enforced and report.outcome == "promote"
    )


def preferred(told: Sequence[Told], *, margin_points: float, seed: int) -> Rule:
    """The candidate's answers are not preferred less, by the margin: a bound on the net preference.

    It holds where with 95% confidence the pairs that prefer the incumbent's answer exceed those
    that prefer the candidate's by less than the margin; refuses where they surely exceed them, and
    by more than the margin as measured; else it cannot tell. Bounds are those of
    `trainer.intervals`: a prompt's verdicts are one cluster.

    Args:
        told: every verdict, at least one.
        margin_points: what is allowed, in points of the pairs.
        seed: of the resampling.
    """
    found = paired_difference(
        [each.change for each in told], [each.cluster for each in told], seed=seed
    )
    margin = margin_points / 100
    needed = None
    if found.lower > -margin:
        outcome: Ruling = "holds"
        said = (
            f"With 95% confidence the candidate's are preferred less by under "
            f"{-100 * found.lower:.1f} points"
            if found.lower < 0
            else "With 95% confidence the candidate's are preferred"
        ) + f"; {margin_points:g} are allowed."
    elif found.upper < 0 and found.estimate < -margin:
        outcome = "refuse"
        said = (
            f"With 95% confidence the incumbent's are preferred, by at least "
            f"{-100 * found.upper:.1f} points, and as measured by more than the "
            f"{margin_points:g} allowed."
        )
    else:
        outcome = "abstain"
        needed = _needed(found.estimate, margin, found.discordant / found.items, found.clusters)
        said = (
            f"The candidate's may be preferred less by up to {-100 * found.lower:.1f} points, and "
            f"{margin_points:g} are allowed"
            + ("." if needed is None else f"; about {needed:,} more pairs would tell.")
        )
    neither = found.items - found.discordant
    return Rule(
        name="reviewed-pairs",
        suite=SUITE,
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
        sentence=f"{_LABEL}: of {found.items:,} verdicts on {len({t.pair_id for t in told}):,} "
        f"pairs, {found.gained:,} prefer the candidate, {found.lost:,} the incumbent and "
        f"{neither:,} neither ({100 * found.estimate:+.1f} points). {said}",
    )


def awaited(needed: int, *, margin_points: float) -> Rule:
    """The rule of a round that waits for so many more pairs to be judged."""
    said = f"{needed:,} more {'pair needs' if needed == 1 else 'pairs need'} a reviewer's verdict."
    if not needed:
        said = "enough pairs have a verdict, and are counted in a moment."
    return Rule(
        name="reviewed-pairs",
        suite=SUITE,
        outcome="abstain",
        unit="points",
        margin=margin_points,
        needed=needed,
        sentence=f"{_LABEL}: {said}",
    )


def waiting(report: GateReport, rule: Rule, round_id: str) -> GateReport:
    """A report that would promote, with a rule that waits."""
    return report.model_copy(
        update={
            "outcome": "abstain",
            "rules": (*_others(report), rule),
            "summary": f"Every other rule that could be checked holds. {rule.sentence} Until then "
            f"the round waits (`heed round judge {round_id}`).",
        }
    )


def decided(report: GateReport, rule: Rule, summary: str) -> GateReport:
    """A waiting report with what reviewers said, which now decides.

    Args:
        report: as `waiting` made it.
        rule: counted.
        summary: what the gate said before it waited.
    """
    outcome = {"holds": "promote", "refuse": "refuse"}.get(rule.outcome, "abstain")
    if outcome != "promote":
        verb = "refuses" if outcome == "refuse" else "abstains from judging"
        summary = f"The gate {verb} the candidate on reviewers' verdicts."
    return report.model_copy(
        update={
            "outcome": outcome,
            "rules": (*_others(report), rule),
            "summary": f"{summary} {rule.sentence}",
        }
    )


def _others(report: GateReport) -> list[Rule]:
    return [rule for rule in report.rules if rule.name != "reviewed-pairs"]


def _needed(estimate: float, margin: float, discordance: float, clusters: int) -> int | None:
    """Pairs still missing if both are liked alike or, where there are enough for that, as measured."""
    for effect in (max(estimate, 0.0), estimate):
        if effect > -margin:
            total = items_for_power(
                discordance=max(discordance, _LEAST_DISCORDANCE), effect=effect, margin=margin
            )
            if total > clusters:
                return total - clusters
    return None
