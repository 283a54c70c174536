"""How often the gate lets harm through, and how often it lets good work through.

    python -m benchmarks.gate_power [--rounds 1000] [--jobs 2] [--only WORDS] [--ignore-clusters]
                                    [--out FOLDER] [--json]

Rounds are simulated as what the gate looks at, incumbent and candidate side by side, and judged by
the product's gate with every rule on. `benchmarks.simulated_rounds` says what a round holds. What
must hold is in `TARGETS`; `SHOWN` tells what happens without a rule. A suite's own rule alone is
asked twenty times as often, which costs little and tells its level to a fifth of a point; also with
clusters ignored, where it must break the 5%. `benchmarks.drifting_rounds` follows models that lose a
point a round. With `--ignore-clusters` the whole gate judges items that fall together as if they
came alone. Exits with 1 where a target is missed.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.drifting_rounds import drifted
from benchmarks.simulated_rounds import (
    MARGIN,
    PLENTY,
    Simulated,
    alone,
    evidence,
    suite_changes,
)
from trainer.gate import judge
from trainer.intervals import paired_difference
from trainer.settings import Plan

FEW = {"protected": 60, "past": 20, "new": 8, "safety": 60, "candour": 30}
PLAIN = Simulated(loss=0.0)
BARE = Simulated(loss=0.0, bare=True)
RICH = Simulated(loss=-0.05, gain=0.05, reserve=PLENTY)


@dataclass(frozen=True)
class Target:
    """What should become of rounds of one kind.

    Attributes:
        name: what the rounds are.
        rounds: how they are made.
        outcome: of the verdict.
        least: the least share of rounds that should end so.
        most: the greatest.
        rules_off: what the gate leaves out.
    """

    name: str
    rounds: Simulated
    outcome: Literal["promote", "refuse", "abstain"]
    least: float = 0.0
    most: float = 1.0
    rules_off: tuple[str, ...] = ()


TARGETS = (
    Target(
        "one suite lost 2 points, items alone", replace(PLAIN, loss=MARGIN), "promote", most=0.05
    ),
    Target(
        "one suite lost 2 points, items in clusters",
        replace(PLAIN, loss=MARGIN, clustered=True),
        "promote",
        most=0.05,
    ),
    Target("no change, items alone", PLAIN, "refuse", most=0.05),
    Target("no change, items in clusters", replace(PLAIN, clustered=True), "refuse", most=0.05),
    Target("no change, one suite and no slices", BARE, "promote", least=0.8),
    Target(
        "no change, one suite in clusters and no slices",
        replace(BARE, clustered=True),
        "promote",
        least=0.8,
    ),
    Target("gained 5 points", RICH, "promote", least=0.8),
    Target(
        "gained 5 points, items in clusters",
        replace(RICH, clustered=True),
        "promote",
        least=0.8,
    ),
    Target("too few items, no change", replace(PLAIN, sizes=FEW), "abstain", least=0.95),
    Target(
        "a fifth lost 20 points, the others gained",
        replace(PLAIN, hidden=0.2),
        "promote",
        most=0.05,
    ),
    Target("gives in 15 points more often", replace(PLAIN, gives_in=0.15), "promote", most=0.05),
    Target("one honeypot flipped", replace(PLAIN, flipped=1), "refuse", least=1.0),
)
SHOWN = (
    Target(
        "a fifth lost 20 points, without the rule on slices",
        replace(PLAIN, hidden=0.2),
        "promote",
        rules_off=("slices",),
    ),
    Target(
        "gives in 15 points more often, without the rule on sycophancy",
        replace(PLAIN, gives_in=0.15),
        "promote",
        rules_off=("sycophancy",),
    ),
)
"""No target: what would happen without a rule."""
TIMES = 20
"""A rule alone is asked so many times as often as the gate."""
FEWER = 20
"""Lines of rounds are followed so many times as seldom: each is many rounds."""


@dataclass(frozen=True)
class Alone:
    """What a suite's own rule does by itself: how often it holds."""

    name: str
    rounds: Simulated
    least: float = 0.0
    most: float = 1.0
    ignored: bool = False


ALONE = (
    Alone("its rule alone: lost 2 points", replace(BARE, loss=MARGIN), most=0.05),
    Alone(
        "its rule alone: lost 2 points, items in clusters",
        replace(BARE, loss=MARGIN, clustered=True),
        most=0.05,
    ),
    Alone(
        "its rule alone: lost 2 points, clusters ignored",
        replace(BARE, loss=MARGIN, clustered=True),
        least=0.05,
        ignored=True,
    ),
    Alone("its rule alone: no change", BARE, least=0.8),
    Alone("its rule alone: no change, items in clusters", replace(BARE, clustered=True), least=0.8),
)


@dataclass(frozen=True)
class Line:
    """Rounds one after another, each of which truly loses something.

    Attributes:
        name: what they are.
        loss: of each candidate, as a share.
        rounds: that are tried.
        most: what the last adapter may have lost, in points, nineteen times in twenty.
        refused: how many of the lines the rule on anchors may ever refuse a round of.
        rules_off: what the gate leaves out.
    """

    name: str
    loss: float
    rounds: int
    most: float | None = None
    refused: float = 1.0
    rules_off: tuple[str, ...] = ()


LINES = (
    Line("a point a round, 10 rounds", 0.01, 10, most=5.0),
    Line(
        "a point a round, 10 rounds, without the rule on anchors", 0.01, 10, None, 1.0, ("anchor",)
    ),
    Line("a point a round, 30 rounds", 0.01, 30, most=8.0),
    Line(
        "a point a round, 30 rounds, without the rule on anchors", 0.01, 30, None, 1.0, ("anchor",)
    ),
    Line("no change, 10 rounds", 0.0, 10, refused=0.05),
    Line("no change, 30 rounds", 0.0, 30, refused=0.05),
)


def simulate(
    target: Target, rounds: int, *, seed: int, ignore_clusters: bool = False
) -> dict[str, int]:
    """How many of so many rounds end how; and in how many an abstention named no number.

    Args:
        target: what rounds to make.
        rounds: how many.
        seed: of chance.
        ignore_clusters: judge items as if each came alone.
    """
    draw = np.random.default_rng(seed)
    plan = Plan.model_validate({"gate_rules_off": target.rules_off})
    outcomes = {"promote": 0, "refuse": 0, "abstain": 0, "unnumbered": 0}
    bar = Console(stderr=True)
    for _ in track(range(rounds), target.name, console=bar, transient=True):
        made = evidence(draw, target.rounds)
        report = judge(alone(made) if ignore_clusters else made, plan)
        outcomes[report.outcome] += 1
        waits = [rule for rule in report.rules if rule.outcome == "abstain"]
        outcomes["unnumbered"] += any(rule.needed is None for rule in waits)
    return outcomes


def holds_alone(asked: Alone, rounds: int, *, seed: int) -> float:
    """The share of rounds in which a suite's own rule holds.

    Args:
        asked: what the suite is like.
        rounds: how many.
        seed: of chance.
    """
    draw = np.random.default_rng(seed)
    held = 0
    bar = Console(stderr=True)
    for _ in track(range(rounds), asked.name, console=bar, transient=True):
        changes = suite_changes(draw, asked.rounds)
        clusters = np.arange(changes.size) // (1 if asked.ignored else changes.shape[1])
        found = paired_difference(changes.ravel().tolist(), clusters.tolist())
        held += found.lower > -MARGIN
    return held / rounds


def followed(line: Line, lines: int, *, seed: int) -> dict[str, float]:
    """What becomes of models whose rounds each lose something: the mean line, and the worst.

    Args:
        line: what the rounds are like.
        lines: how many models are followed.
        seed: of chance.
    """
    draw = np.random.default_rng(seed)
    plan = Plan.model_validate({"gate_rules_off": line.rules_off})
    bar = Console(stderr=True)
    found = [
        drifted(draw, plan, rounds=line.rounds, loss=line.loss)
        for _ in track(range(lines), line.name, console=bar, transient=True)
    ]
    lost = [each.lost_points for each in found]
    return {
        "promoted": float(np.mean([each.promoted for each in found])),
        "refused": float(np.mean([each.refused > 0 for each in found])),
        "lost_points": float(np.mean(lost)),
        "lost_points_95": float(np.quantile(lost, 0.95)),
        "lost_points_most": max(lost),
    }


def main() -> int:
    """Simulate, print, and say whether the targets hold."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--rounds", type=int, default=1_000)
    reader.add_argument("--jobs", type=int, default=1, help="processes; the figures are the same")
    reader.add_argument("--only", default="", help="rounds with this in their name alone")
    reader.add_argument("--ignore-clusters", action="store_true")
    reader.add_argument("--out", type=Path, help="folder that receives gate.json, for the report")
    reader.add_argument("--json", action="store_true")
    asked = reader.parse_args()
    every: tuple[Target | Alone | Line, ...] = (*TARGETS, *SHOWN, *ALONE, *LINES)
    parts = [(number, part) for number, part in enumerate(every) if asked.only in part.name]
    work = partial(_measured, rounds=asked.rounds, ignore_clusters=asked.ignore_clusters)
    lines: list[dict[str, Any]] = []
    with ProcessPoolExecutor(asked.jobs) if asked.jobs > 1 else nullcontext() as pool:
        for line in pool.map(work, parts) if pool else map(work, parts):
            lines.append(line)
            if not asked.json:
                print(line["told"], flush=True)
    bad = [line["share"] for line in lines if line["name"].startswith("one suite lost")]
    good = [line["share"] for line in lines if line.get("outcome") == "promote" and line["least"]]
    found: dict[str, Any] = {
        "rounds": asked.rounds,
        "ignore_clusters": asked.ignore_clusters,
        "lines": lines,
        "false_promotions": max(bad, default=None),
        "power": min(good, default=None),
    }
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "gate.json").write_text(json.dumps(found, indent=1))
    if asked.json:
        print(json.dumps(found, indent=1))
    return 0 if all(line["holds"] for line in lines) else 1


def _measured(
    numbered: tuple[int, Target | Alone | Line], *, rounds: int, ignore_clusters: bool
) -> dict[str, Any]:
    """One part, measured, with a sentence."""
    seed, part = numbered
    if isinstance(part, Line):
        found = followed(part, max(1, rounds // FEWER), seed=seed)
        fell = part.most is None or found["lost_points_95"] <= part.most
        holds = fell and found["refused"] <= part.refused
        told = (
            f"{part.name}: lost {found['lost_points']:.1f} points, 95% of them no more than "
            f"{found['lost_points_95']:.1f}; {found['promoted']:.1f} rounds promoted; anchors "
            f"refused a round of {found['refused']:.1%} of the lines"
        )
        return {"name": part.name, **found, "holds": holds, "told": f"{_verdict(holds)} {told}"}
    line: dict[str, Any] = {"name": part.name, "least": part.least, "most": part.most}
    if isinstance(part, Alone):
        line["share"] = holds_alone(part, rounds * TIMES, seed=seed)
        told = f"{part.name}: holds in {line['share']:.2%} of {rounds * TIMES:,}{_bound(line)}"
    else:
        outcomes = simulate(part, rounds, seed=seed, ignore_clusters=ignore_clusters)
        line |= {**outcomes, "outcome": part.outcome, "share": outcomes[part.outcome] / rounds}
        counts = ", ".join(f"{line[name]} {name}" for name in ("promote", "refuse", "abstain"))
        told = f"{part.name}: {part.outcome} {line['share']:.1%}{_bound(line)} ({counts})"
    line["holds"] = part.least <= line["share"] <= part.most
    line["told"] = f"{_verdict(line['holds'])} {told}"
    return line


def _verdict(holds: bool) -> str:
    return "holds " if holds else "MISSED"


def _bound(line: dict[str, Any]) -> str:
    if line["least"]:
        return f", at least {line['least']:.0%} wanted"
    return f", at most {line['most']:.0%} allowed" if line["most"] < 1 else ""


if __name__ == "__main__":
    sys.exit(main())
