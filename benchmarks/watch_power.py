"""How often the watch cries wolf, and how soon it sees a change.

    python -m benchmarks.watch_power [--runs 400] [--observations 20000] [--json]

The product's own detector, with the part of the error probability that each measure has, hears 10,000
observations of the time before and then those of the version. Where nothing changes, alarms of all six
measures together may come in at most 5% of the runs. Changes by 5, 10 and 20 points come either with the
version or when it has answered 2,000 people; what is told is the median number of people from the change
to the alarm.

People who ask ten times a day each stand for answers that are not independent: the product counts each
of them once a day, and is beside a test that counts every answer. Exits with 1 where there are more false
alarms than it says.
"""

import argparse
import json
import math
import sys
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from serving.watch_measures import CORRECTIONS, MEASURES, SATISFACTION
from trainer.watching import Detector

ALPHA = 0.05
LEAST = 0.01
REFERENCE = 10_000
LATE = 2_000
USUAL = {SATISFACTION: 0.75, CORRECTIONS: 0.03}
"""The mean before, of what gets worse by falling, and of what does by rising."""
POINTS = {0.05: 12_000, 0.10: 4_000, 0.20: 2_000}
"""Points by which it changes, and so many people are waited for."""
SPREAD = (3.0, 1.0)
"""People differ: the chance that one of them is content is drawn from this beta distribution."""
DAILY, ANSWERS_EACH = 100, 10
"""So many people ask on a day, of many more, each so often in a row."""


def detector(name: str) -> Detector:
    """Return what watches a measure, as the product has it."""
    measure = MEASURES[name]
    return Detector(alpha=ALPHA * measure.weight, side=measure.side, least=LEAST)


def first_alarm(found: Detector, before: list[float], after: list[float]) -> float:
    """Return after how many observations of the version it alarms; infinite where it never does."""
    for value in before:
        found.refer(value)
    for number, value in enumerate(after):
        if found.see(value, 0.0):
            return number + 1
    return len(after) if found.look() else math.inf


def coins(draw: np.random.Generator, chance: float, count: int) -> list[float]:
    """Return so many observations, 0 or 1."""
    return [float(each) for each in draw.random(count) < chance]


def delay(draw: np.random.Generator, name: str, points: float, late: int) -> float:
    """Return how many people a change takes to be seen; infinite where it was not, or too early."""
    worse = points if MEASURES[name].side == "up" else -points
    before, chance = coins(draw, USUAL[name], REFERENCE), USUAL[name]
    after = coins(draw, chance, late) + coins(draw, chance + worse, POINTS[points])
    seen = first_alarm(detector(name), before, after) - late
    return seen if seen > 0 else math.inf


def crowded(draw: np.random.Generator, days: int, *, each_answer: bool) -> bool:
    """Whether it ever cries wolf where people differ and ask again and again."""
    chances = np.repeat(draw.beta(*SPREAD, size=2 * days * DAILY), ANSWERS_EACH)
    content = (draw.random(len(chances)) < chances).astype(float)
    heard = content if each_answer else content[::ANSWERS_EACH]
    half = len(heard) // 2
    found = detector(SATISFACTION)
    return math.isfinite(first_alarm(found, heard[:half].tolist(), heard[half:].tolist()))


def measure(runs: int, observations: int, *, quiet: bool = False) -> dict[str, Any]:
    """Simulate everything, and return the figures."""
    draw = np.random.default_rng(0)
    found: dict[str, Any] = {"runs": runs, "observations": observations, "delays": {}}
    console = Console(stderr=True, quiet=quiet)
    with Progress(console=console, transient=True) as shown:
        task = shown.add_task("versions", total=runs + len(USUAL) * len(POINTS) * 2 + 2)
        wolves: dict[str, int] = dict.fromkeys(MEASURES, 0)
        either = 0
        for _ in range(runs):
            cried = []
            for name in MEASURES:
                chance = float(draw.uniform(0.02, 0.5))
                after = coins(draw, chance, observations)
                before = coins(draw, chance, REFERENCE)
                if math.isfinite(first_alarm(detector(name), before, after)):
                    cried.append(name)
                    wolves[name] += 1
            either += bool(cried)
            shown.advance(task)
        found["false_alarms"] = {name: count / runs for name, count in wolves.items()}
        found["any_false_alarm"] = either / runs
        for name in USUAL:
            for points in POINTS:
                for when, late in (("with the version", 0), ("later", LATE)):
                    some = [delay(draw, name, points, late) for _ in range(max(1, runs // 4))]
                    told = f"{name} by {100 * points:g} points, {when}"
                    found["delays"][told] = {
                        "median": float(np.median(some)),
                        "seen": float(np.isfinite(some).mean()),
                    }
                    shown.advance(task)
        found["ten answers each"] = {}
        for told, each in (("product", False), ("every answer", True)):
            cries = [crowded(draw, 20, each_answer=each) for _ in range(runs)]
            found["ten answers each"][told] = float(np.mean(cries))
            shown.advance(task)
    return found


def missed(found: dict[str, Any]) -> list[str]:
    """Return what falls short, in words."""
    rates = {"any measure": found["any_false_alarm"]}
    rates["ten answers each"] = found["ten answers each"]["product"]
    return [
        f"false alarms, {name}: {rate:.1%}, above {ALPHA:.0%}"
        for name, rate in rates.items()
        if rate > ALPHA
    ]


def main() -> int:
    """Simulate, print, and say whether it holds what it promises."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--runs", type=int, default=400)
    reader.add_argument("--observations", type=int, default=20_000)
    reader.add_argument("--json", action="store_true")
    asked = reader.parse_args()
    found = measure(asked.runs, asked.observations, quiet=asked.json)
    short = missed(found)
    if asked.json:
        print(json.dumps({**found, "missed": short}, indent=1))
        return int(bool(short))
    print(f"no change, {asked.runs} versions: {found['any_false_alarm']:.1%} with any false alarm")
    for name, rate in found["false_alarms"].items():
        print(f"  {name}: {rate:.2%}")
    for told, each in found["delays"].items():
        print(f"{told}: {each['median']:g} people (seen in {each['seen']:.0%})")
    for told, rate in found["ten answers each"].items():
        print(f"ten answers each, {told}: {rate:.1%} false alarms")
    print("\n".join(f"MISSED {each}" for each in short) or "holds")
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
