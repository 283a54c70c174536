"""The gate's rule about slices: a gain for most may not hide a loss for some. Pure.

Every slice (topic, language, group, tag) of what must be kept, and of what was to be learned, is
held to its own margin; the bounds hold for all slices at once (Bonferroni), so that looking at
many finds no more than looking at one. Knows no model and no verdict.
"""

from collections.abc import Sequence
from dataclasses import replace

from trainer import rules
from trainer.evidence import Paired
from trainer.intervals import ALPHA
from trainer.rules import Rule
from trainer.slices import FEWEST, SUITE_TAG

SUITE = "slices"
_LABEL = "Slices"
_KEPT = ("protected", "safety", "past")


def non_inferior(
    pairs: Sequence[Paired], *, margin_points: float, seed: int
) -> list[tuple[Rule, list[Paired]]]:
    """Judge every slice of at least `slices.FEWEST` items, those that do not hold by name.

    What is to be learned is looked at apart from what is to be kept, or a gain there would hide a
    loss here. A slice too small for any bound to clear the margin, or one that as measured lost
    less than half of it, is refused on evidence of harm and otherwise not waited for.

    Args:
        pairs: all evidence; suites have rules of their own, and are no slices here.
        margin_points: what a slice may lose.
        seed: of the resampling.

    Returns:
        A rule with its items for each slice that does not hold, and one for all others together,
        which tells of the one that comes closest; none where nobody said what slices there are.
    """
    if not any(pair.slices for pair in pairs):
        return []
    slices = _slices(pairs)
    if not slices:
        reason = f"no topic, language or tag tells {FEWEST} items from the others"
        return [(rules.not_checked("slices", SUITE, _LABEL, reason, margin=margin_points), [])]
    alpha = ALPHA / len(slices)
    enough = rules.spotless_items(min(margin_points, 99.9) / 100, alpha)
    failed: list[tuple[Rule, list[Paired]]] = []
    held, small = [], 0
    for (part, name), members in sorted(slices.items()):
        rule = rules.non_inferior(
            name,
            f"Slice {name!r} of what was to be {part}",
            members,
            margin_points=margin_points,
            seed=seed,
            name="slices",
            alpha=alpha,
        )
        # One answer of fifty that changed is no reason to hold a round back: where many slices are
        # looked at, some always lose one, and few items more would not tell.
        slight = rule.estimate is not None and rule.estimate > -margin_points / 2
        if rule.outcome == "abstain" and (slight or rule.clusters < enough):
            small += 1
        elif rule.outcome == "holds":
            held.append(rule)
        else:
            failed.append((rule, members))
    return [*failed, *((rule, []) for rule in _together(held, small, margin_points))]


def _slices(pairs: Sequence[Paired]) -> dict[tuple[str, str], list[Paired]]:
    found: dict[tuple[str, str], list[Paired]] = {}
    sizes = {"kept": 0, "learned": 0}
    for pair in pairs:
        if pair.kind not in (*_KEPT, "new"):
            continue
        part = "learned" if pair.kind == "new" else "kept"
        sizes[part] += 1
        for name in pair.slices:
            if not name.startswith(SUITE_TAG):
                found.setdefault((part, name), []).append(pair)
    return {
        (part, name): [_unmargined(each) for each in members]
        for (part, name), members in found.items()
        if FEWEST <= len(members) < sizes[part]
    }


def _unmargined(pair: Paired) -> Paired:
    """A suite's own margin is not its slices'."""
    return replace(pair, margin_points=None) if pair.margin_points is not None else pair


def _together(held: Sequence[Rule], small: int, margin_points: float) -> list[Rule]:
    too_small = f" {small} more are too small to tell, and show no harm." if small else ""
    if not held:
        if not small:
            return []
        reason = f"the {small} slices are too small to tell; they show no harm"
        return [rules.not_checked("slices", SUITE, _LABEL, reason, margin=margin_points)]
    closest = min(held, key=lambda rule: (rule.lower or 0.0, rule.suite))
    count = "1 slice holds" if len(held) == 1 else f"{len(held)} slices hold"
    return [
        closest.model_copy(
            update={
                "suite": SUITE,
                "sentence": f"{_LABEL}: {count}, for all at once with 95% confidence.{too_small} "
                f"The closest: {closest.sentence}",
            }
        )
    ]
