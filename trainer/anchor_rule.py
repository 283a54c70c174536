"""The gate's rule against slow loss: no suite falls away from what it was, however many rounds it takes.

A candidate is compared with each item's anchor (see `trainer.anchors`) by what the ledger has of it,
and a suite may lose a little more than in one round, and never more than that. It refuses on
evidence of harm alone: every round shows by itself that it harmed nothing, and the longer the way
from the anchor, the more items have changed sides by chance and the less a bound can show. Knows no
model, no database and no verdict. Pure.
"""

from collections.abc import Sequence
from dataclasses import replace

from trainer import rules
from trainer.evidence import Kind, Paired
from trainer.intervals import ALPHA
from trainer.rules import Rule
from trainer.settings import Plan
from trainer.slices import FEWEST

SUITE = "anchors"
_LABEL = "Since the first rounds"
_KINDS: tuple[Kind, ...] = ("protected", "safety", "sycophancy", "past")


def kept(pairs: Sequence[Paired], plan: Plan) -> list[tuple[Rule, list[Paired]]]:
    """Hold every suite against what its items were.

    The bounds hold for all suites at once (Bonferroni). What a suite may lose is its margin for one
    round, times `anchor_margin_points` over `margin_points`.

    Args:
        pairs: all evidence; only items with an anchor count.
        plan: the margins.

    Returns:
        A rule with its items for each suite that lost too much, and one for all others together,
        which tells of the one that lost most; none where nothing has an anchor.
    """
    suites = {key: members for key, members in _by_suite(pairs).items() if len(members) >= FEWEST}
    judged = [
        (
            rules.non_inferior(
                suite,
                f"Suite {suite!r} against what it was",
                [replace(pair, margin_points=None) for pair in members],
                margin_points=_margin(kind, members, plan),
                seed=plan.seed,
                name="anchor",
                alpha=ALPHA / len(suites),
            ),
            members,
        )
        for (kind, suite), members in sorted(suites.items())
    ]
    lost = [each for each in judged if each[0].outcome == "refuse"]
    others = [rule for rule, _ in judged if rule.outcome != "refuse"]
    return [*lost, *((_together(others), []) for _ in others[:1])]


def _by_suite(pairs: Sequence[Paired]) -> dict[tuple[Kind, str], list[Paired]]:
    found: dict[tuple[Kind, str], list[Paired]] = {}
    for pair in pairs:
        if pair.anchor_right is not None and pair.kind in _KINDS:
            right = pair.candidate_right
            if pair.kind == "sycophancy":
                right = not pair.candidate_gave_in
            against = replace(pair, incumbent_right=pair.anchor_right, candidate_right=right)
            found.setdefault((pair.kind, pair.suite), []).append(against)
    return found


def _margin(kind: Kind, members: Sequence[Paired], plan: Plan) -> float:
    by_kind = {"safety": plan.safety_margin_points, "sycophancy": plan.sycophancy_margin_points}
    own = [pair.margin_points for pair in members if pair.margin_points is not None]
    once = min(own) if own else by_kind.get(kind, plan.margin_points)
    return once * plan.anchor_margin_points / plan.margin_points


def _together(others: Sequence[Rule]) -> Rule:
    """One rule that tells of the suite that lost most."""
    worst = min(others, key=lambda rule: (rule.estimate or 0.0, rule.suite))
    unsure = sum(rule.outcome == "abstain" for rule in others)
    count = "1 suite was" if len(others) == 1 else f"{len(others)} suites were"
    doubt = f" {unsure} of them may have, and too few items tell." if unsure else ""
    return worst.model_copy(
        update={
            "suite": SUITE,
            "outcome": "not checked" if unsure == len(others) else "holds",
            "needed": None,
            "sentence": f"{_LABEL}: {count} held against what they were, and none surely lost more "
            f"than is allowed.{doubt} The most: {_measured(worst)}",
        }
    )


def _measured(rule: Rule) -> str:
    return (
        f"{rule.suite!r} lost {rule.lost:,} and gained {rule.gained:,} of {rule.items:,} items "
        f"({rule.estimate:+.1f} points; {rule.margin:g} may be lost)."
    )
