"""Rounds one after another on the same items, each of which truly loses a little: how far that goes.

The items' answers are followed from round to round, so that what a candidate gains and loses by
chance stays gained and lost, and the distance from the first adapter grows by chance as well. Knows
no rule; asks the product's gate.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.simulated_rounds import NEW_GAIN, NEW_ITEMS
from trainer.evidence import Evidence, Paired
from trainer.gate import judge
from trainer.settings import Plan

ITEMS = 1_700
RIGHT = 0.9
"""Share of the items that the first adapter has right."""
DISCORDANCE = 0.04
"""Share of the items that change sides from one round to the next."""


@dataclass(frozen=True)
class Drifted:
    """What became of one line of rounds.

    Attributes:
        promoted: rounds that were promoted.
        refused: by the rule on anchors, every other rule being content.
        lost_points: what the last adapter truly lost since the first.
    """

    promoted: int
    refused: int
    lost_points: float


def drifted(
    draw: np.random.Generator, plan: Plan, *, rounds: int, loss: float, items: int = ITEMS
) -> Drifted:
    """Follow one model through so many rounds; a round that is not promoted leaves it as it was.

    Args:
        draw: of chance.
        plan: of the gate.
        rounds: that are tried.
        loss: what every candidate truly loses, as a share.
        items: of the suite.
    """
    first = draw.random(items) < RIGHT
    now = first.copy()
    promoted = refused = 0
    for _ in range(rounds):
        chance = draw.random(items)
        # So that lost less gained is `loss` of all items, whatever is right by now.
        share = now.mean()
        falls = (DISCORDANCE + loss) / 2 / share
        rises = (DISCORDANCE - loss) / 2 / max(1 - share, 1e-9)
        after = np.where(now, chance >= falls, chance < rises)
        report = judge(_evidence(draw, first, now, after), plan)
        others = {rule.outcome for rule in report.rules if rule.name != "anchor"}
        if report.outcome == "promote":
            promoted, now = promoted + 1, after
        elif not others & {"refuse", "abstain"}:
            refused += 1
    return Drifted(promoted, refused, 100 * loss * promoted)


def _evidence(
    draw: np.random.Generator,
    first: np.ndarray[tuple[int], np.dtype[np.bool_]],
    before: np.ndarray[tuple[int], np.dtype[np.bool_]],
    after: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> Evidence:
    kept = [
        Paired(f"i{at}", "suite", f"i{at}", was, now, anchor_right=once)
        for at, (once, was, now) in enumerate(
            zip(first.tolist(), before.tolist(), after.tolist(), strict=True)
        )
    ]
    learned = draw.random(NEW_ITEMS) < NEW_GAIN
    new = [
        Paired(f"n{at}", "new corrections", f"p{at}", False, each, kind="new")
        for at, each in enumerate(learned.tolist())
    ]
    return Evidence(pairs=(*kept, *new))
