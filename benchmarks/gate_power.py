"""How often the gate lets harm through, and how often it lets good work through.

    python -m benchmarks.gate_power [--rounds 1000] [--only WORDS] [--ignore-clusters] [--out FOLDER] [--json]

Rounds are simulated as what the gate looks at, incumbent and candidate side by side, and judged by
the product's gate with every rule on. `benchmarks.simulated_rounds` says what a round holds. What
must hold is in `TARGETS`; `SHOWN` tells what one rule does by itself and what happens without another.
With `--ignore-clusters` items that fall together are judged as if they came alone, and a rule lets
through more than the 5% that it is made for. Exits with 1 where a target is missed.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.simulated_rounds import MARGIN, PLENTY, Simulated, alone, evidence
from trainer.gate import judge
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
    Target("its own rule alone: lost 2 points", replace(BARE, loss=MARGIN), "promote"),
    Target(
        "its own rule alone: lost 2 points, items in clusters",
        replace(BARE, loss=MARGIN, clustered=True),
        "promote",
    ),
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
"""No target: what one rule does by itself, at the level of 5% that it is made for (and above it where
clusters are ignored), and what would happen without a rule."""


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


def main() -> int:
    """Simulate, print, and say whether the targets hold."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--rounds", type=int, default=1_000)
    reader.add_argument("--only", default="", help="rounds with this in their name alone")
    reader.add_argument("--ignore-clusters", action="store_true")
    reader.add_argument("--out", type=Path, help="folder that receives gate.json, for the report")
    reader.add_argument("--json", action="store_true")
    asked = reader.parse_args()
    found: dict[str, Any] = {"rounds": asked.rounds, "ignore_clusters": asked.ignore_clusters}
    lines: list[dict[str, Any]] = []
    for number, target in enumerate((*TARGETS, *SHOWN)):
        if asked.only not in target.name:
            continue
        outcomes = simulate(
            target, asked.rounds, seed=number, ignore_clusters=asked.ignore_clusters
        )
        share = outcomes[target.outcome] / asked.rounds
        lines.append(
            {
                "name": target.name,
                **outcomes,
                "outcome": target.outcome,
                "share": share,
                "least": target.least,
                "most": target.most,
                "holds": target.least <= share <= target.most,
            }
        )
        if not asked.json:
            print(_told(lines[-1], shown=target in SHOWN), flush=True)
    bad = [line["share"] for line in lines if line["name"].startswith("one suite lost")]
    good = [line["share"] for line in lines if line["outcome"] == "promote" and line["least"]]
    found |= {
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


def _told(line: dict[str, Any], *, shown: bool) -> str:
    verdict = "shown " if shown else "holds " if line["holds"] else "MISSED"
    bound = "" if shown else _bound(line)
    counts = ", ".join(f"{line[name]} {name}" for name in ("promote", "refuse", "abstain"))
    return f"{verdict} {line['name']}: {line['outcome']} {line['share']:.1%}{bound} ({counts})"


def _bound(line: dict[str, Any]) -> str:
    if line["least"]:
        return f", at least {line['least']:.0%} wanted"
    return f", at most {line['most']:.0%} allowed"


if __name__ == "__main__":
    sys.exit(main())
