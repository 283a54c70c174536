"""How often the gate lets harm through, and how often it lets good work through.

    python -m benchmarks.gate_power [--rounds 1000] [--out FOLDER] [--json]

Rounds are simulated as what the gate looks at, incumbent and candidate side by side on as many
protected items as its own rule asks for, with one in ten items changing sides, and judged by the
product's gate. A candidate that truly lost the two points that are allowed should be promoted in at
most 5% of the rounds, one that lost nothing in at least 80%. Both learn what the round was for. There
is one protected suite: with several, less of either passes. Items come alone, and in clusters of five
that tend to fall together; clusters carry less each, so there are more items, by the design effect.
Exits with 1 where a target is missed.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from trainer.evidence import Evidence, Paired
from trainer.gate import judge
from trainer.intervals import items_for_power
from trainer.settings import Plan

DISCORDANCE = 0.1
MARGIN = 0.02
NEW_ITEMS, NEW_GAIN = 60, 0.6
CLUSTER = 5
TOGETHER = 0.3
"""In a cluster, the share of items that change sides only together with its others."""
RESERVE = 1.1
"""So many times the items that normal theory asks for: the gate's bounds are a little stricter."""
MOST_FALSE, LEAST_POWER = 0.05, 0.8


def evidence(draw: np.random.Generator, *, loss: float, clustered: bool) -> Evidence:
    """One round: protected items with a true change, and new corrections that are learned.

    Args:
        draw: of chance.
        loss: the true loss on protected items, as a share.
        clustered: whether items come in clusters.
    """
    items = math.ceil(RESERVE * items_for_power(discordance=DISCORDANCE, effect=0.0, margin=MARGIN))
    chances = [(DISCORDANCE + loss) / 2, (DISCORDANCE - loss) / 2]
    size = CLUSTER if clustered else 1
    if clustered:
        items = math.ceil(items * (1 + (CLUSTER - 1) * TOGETHER**2))
    count = math.ceil(items / size)
    changes = _changes(draw, chances, (count, size))
    if clustered:
        # An item follows its cluster or goes its own way: correlation TOGETHER² within it.
        follows = draw.random((count, size)) < TOGETHER
        changes = np.where(follows, _changes(draw, chances, (count, 1)), changes)
    gained = draw.random(NEW_ITEMS) < NEW_GAIN
    pairs = [
        _pair(f"{cluster}-{place}", "suite", f"cluster {cluster}", int(change), "protected")
        for cluster, row in enumerate(changes)
        for place, change in enumerate(row)
    ]
    pairs += [
        _pair(f"new-{number}", "new corrections", f"person {number}", int(gain), "new")
        for number, gain in enumerate(gained)
    ]
    return Evidence(pairs=tuple(pairs))


def simulate(rounds: int, *, loss: float, clustered: bool, seed: int) -> dict[str, int]:
    """How many of so many rounds end how."""
    draw = np.random.default_rng(seed)
    plan = Plan(margin_points=100 * MARGIN)
    outcomes = {"promote": 0, "refuse": 0, "abstain": 0}
    kind = "clusters" if clustered else "items"
    what = f"loss of {100 * loss:g} points, {kind}"
    for _ in track(range(rounds), what, console=Console(stderr=True), transient=True):
        outcomes[judge(evidence(draw, loss=loss, clustered=clustered), plan).outcome] += 1
    return outcomes


def main() -> int:
    """Simulate, print, and say whether the targets hold."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--rounds", type=int, default=1_000)
    reader.add_argument("--out", type=Path, help="folder that receives gate.json, for the report")
    reader.add_argument("--json", action="store_true")
    asked = reader.parse_args()
    found: dict[str, Any] = {"rounds": asked.rounds}
    for clustered in (False, True):
        name = "clustered" if clustered else "alone"
        for loss in (MARGIN, 0.0):
            outcomes = simulate(
                asked.rounds, loss=loss, clustered=clustered, seed=round(1e4 * loss)
            )
            found[f"{name}, true loss {100 * loss:g} points"] = outcomes
    promoted = {
        loss: [
            found[f"{name}, true loss {loss} points"]["promote"] / asked.rounds
            for name in ("alone", "clustered")
        ]
        for loss in ("2", "0")
    }
    found["false_promotions"], found["power"] = max(promoted["2"]), min(promoted["0"])
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "gate.json").write_text(json.dumps(found, indent=1))
    holds = found["false_promotions"] <= MOST_FALSE and found["power"] >= LEAST_POWER
    if asked.json:
        print(json.dumps(found, indent=1))
    else:
        for name, outcomes in found.items():
            if isinstance(outcomes, dict):
                print(
                    f"{name}: " + ", ".join(f"{count} {what}" for what, count in outcomes.items())
                )
        print(
            f"{'holds ' if holds else 'MISSED'} at most {found['false_promotions']:.1%} promoted "
            f"at −2 points, at least {found['power']:.1%} of those that lost nothing"
        )
    return 0 if holds else 1


def _changes(
    draw: np.random.Generator, chances: list[float], shape: tuple[int, int]
) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    lost, gained = chances
    chance = draw.random(shape)
    return np.where(chance < lost, -1, np.where(chance < lost + gained, 1, 0))


def _pair(name: str, suite: str, cluster: str, change: int, kind: Any) -> Paired:
    # Whoever has not changed was right before and after: the gate looks at changes alone.
    return Paired(name, suite, cluster, change <= 0, change >= 0, kind=kind)


if __name__ == "__main__":
    sys.exit(main())
