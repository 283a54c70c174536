"""How often the canary's test cries wolf, how soon it sees a loss, and how soon it is sure of none.

    python -m benchmarks.canary_power [--runs 1000] [--looks 20000] [--json]

Two versions are compared vote by vote, with the product's own bets and its part of the error
probability for votes, and looked at after every pair of people. With no difference, at most 5% of the
runs may call the new version worse in 20,000 looks. Losses of 5, 10 and 20 points, from 70, 75 and 80%
of people who are content, have to be seen within a median of 858, 279 and 89 pairs, one to one; beside
that stands what a canary of 5% of the people needs, whose every person is compared with nineteen.

People who vote eight times each stand for votes that are not independent: the product counts them once
with their first vote and once with the mean of eight, and is beside a test that takes every vote for
itself, which is wrong far more often than it says. Exits with 1 where a target is missed.
"""

import argparse
import json
import math
import sys
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from serving.canary_streams import FIRST, HABIT, HABIT_VOTES, SAFE_WEIGHTS, WEIGHTS
from trainer.canary import Floats, bets, evidence

ALPHA = 0.05
MARGIN = 0.05
BASES = (0.70, 0.75, 0.80)
TARGETS = {0.05: 858, 0.10: 279, 0.20: 89}
"""Points lost, and the median of pairs within which that has to be seen."""
PAIRS = {0.05: 4_000, 0.10: 1_500, 0.20: 500}
"""So many are simulated: far beyond the median."""
CHUNK = 250
BATCHES = 4
"""Rates of a few in a hundred are the mean over so many times the runs; a thousand alone are off by
0.7 points."""
SPREAD = (3.0, 1.0)
"""People differ: the chance that one of them is content is drawn from this beta distribution."""
COHORT = 100
"""So many pairs of people are about at the same time, and vote in turn."""


def differences(
    draw: np.random.Generator, base: float, drop: float, shape: tuple[int, int], ratio: int
) -> Floats:
    """Old minus new, for pairs of one new person and `ratio` old ones: (runs, pairs)."""
    old = draw.binomial(ratio, base, shape) / ratio
    found: Floats = old - (draw.random(shape) < base - drop)
    return found


def first_look(against: Floats, ratio: int, *, needed: float, mean: float = 0.0) -> Floats:
    """Return in each run the pair after which the evidence is enough; infinite where it never is.

    Args:
        against: (runs, pairs) differences; the bets are that their mean is above `mean`.
        ratio: see `trainer.canary.bets`.
        needed: the e-value.
        mean: the hypothesis.
    """
    runs, pairs = against.shape
    shares, goal = bets(ratio), math.log(needed)
    found = np.full(runs, np.inf)
    alive, grown = np.arange(runs), np.zeros((runs, 1, len(shares)))
    for start in range(0, pairs, CHUNK):
        gains = (1 + against[alive, start : start + CHUNK]) / (1 + mean) - 1
        path = grown + np.cumsum(np.log1p(gains[..., None] * shares), axis=1)
        enough = evidence(path) >= goal
        seen = enough.any(axis=1)
        found[alive[seen]] = start + 1 + enough[seen].argmax(axis=1)
        alive, grown = alive[~seen], path[~seen, -1:]
        if not len(alive):
            break
    return found


def clustered(draw: np.random.Generator, runs: int, looks: int) -> dict[str, float]:
    """Shares of runs that call the same version worse, where people vote eight times each."""
    cohorts = max(1, looks // (COHORT * HABIT_VOTES))
    shape = (runs, cohorts, 1, COHORT)
    votes = [
        draw.random((runs, cohorts, HABIT_VOTES, COHORT)) < draw.beta(*SPREAD, size=shape)
        for _ in range(2)
    ]
    change = votes[0].astype(float) - votes[1]

    def alarms(found: Floats, weight: float) -> Any:
        return np.isfinite(first_look(found.reshape(runs, -1), 1, needed=1 / (ALPHA * weight)))

    first = alarms(change[:, :, 0], WEIGHTS[FIRST])
    habit = alarms(change.mean(axis=2), WEIGHTS[HABIT])
    return {
        "product": float((first | habit).mean()),
        "every vote for itself": float(alarms(change, 1.0).mean()),
    }


def measure(runs: int, looks: int, *, quiet: bool = False) -> dict[str, Any]:
    """Simulate everything, and return the figures."""
    draw = np.random.default_rng(0)
    needed = 1 / (ALPHA * WEIGHTS[FIRST])
    safe = 1 / (ALPHA * SAFE_WEIGHTS[FIRST])
    found: dict[str, Any] = {"runs": runs, "looks": looks, "needed": needed}
    found |= {"false_alarms": {}, "false_commits": {}, "pairs": {}, "pairs_to_commit": {}}
    console = Console(stderr=True, quiet=quiet)
    with Progress(console=console, transient=True) as shown:
        task = shown.add_task("canaries", total=2 * (len(BASES) * len(TARGETS) + BATCHES) + 1)
        for ratio, name in ((1, "one to one"), (19, "5% of people")):
            rates: dict[str, list[float]] = {"alarms": [], "commits": [], "sure": []}
            for _ in range(BATCHES):
                alike = differences(draw, 0.75, 0.0, (runs, looks), ratio)
                alarm = np.isfinite(first_look(alike, ratio, needed=needed))
                rates["alarms"].append(float(alarm.mean()))
                sure = first_look(-alike, ratio, needed=safe, mean=-MARGIN)
                rates["sure"].append(float(np.median(sure)))
                worse = differences(draw, 0.75, MARGIN, (runs, looks), ratio)
                wrong = np.isfinite(first_look(-worse, ratio, needed=safe, mean=-MARGIN))
                rates["commits"].append(float(wrong.mean()))
                shown.advance(task)
            found["false_alarms"][name] = float(np.mean(rates["alarms"]))
            found["false_commits"][name] = float(np.mean(rates["commits"]))
            found["pairs_to_commit"][name] = float(np.median(rates["sure"]))
            found["pairs"][name] = {}
            for base in BASES:
                for drop in TARGETS:
                    lost = differences(draw, base, drop, (4 * runs, PAIRS[drop]), ratio)
                    seen = np.median(first_look(lost, ratio, needed=needed))
                    found["pairs"][name][f"{base:.0%} - {100 * drop:g}"] = float(seen)
                    shown.advance(task)
        found["eight votes each"] = clustered(draw, runs, looks)
        shown.advance(task)
    return found


def missed(found: dict[str, Any]) -> list[str]:
    """Return what falls short, in words."""
    rates = {f"false alarms, {name}": rate for name, rate in found["false_alarms"].items()}
    rates |= {f"false commits, {name}": rate for name, rate in found["false_commits"].items()}
    rates["false alarms, eight votes each"] = found["eight votes each"]["product"]
    said = [
        f"{name}: {rate:.1%}, above {ALPHA:.0%}" for name, rate in rates.items() if rate > ALPHA
    ]
    for base in BASES:
        for drop, most in TARGETS.items():
            pairs = found["pairs"]["one to one"][f"{base:.0%} - {100 * drop:g}"]
            if pairs > most:
                said.append(f"{100 * drop:g} points from {base:.0%}: {pairs:g} pairs, above {most}")
    return said


def main() -> int:
    """Simulate, print, and say whether the targets hold."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--runs", type=int, default=1_000)
    reader.add_argument("--looks", type=int, default=20_000)
    reader.add_argument("--json", action="store_true")
    asked = reader.parse_args()
    found = measure(asked.runs, asked.looks)
    short = missed(found)
    if asked.json:
        print(json.dumps({**found, "missed": short}, indent=1))
        return int(bool(short))
    for name in found["pairs"]:
        print(
            f"{name}: {found['false_alarms'][name]:.1%} false alarms, "
            f"{found['false_commits'][name]:.1%} false commits, "
            f"{found['pairs_to_commit'][name]:g} pairs to commit without a change"
        )
        for what, pairs in found["pairs"][name].items():
            print(f"  {what} points: {pairs:g} pairs")
    for what, rate in found["eight votes each"].items():
        print(f"eight votes each, {what}: {rate:.1%} false alarms")
    print("\n".join(f"MISSED {each}" for each in short) or "holds")
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
