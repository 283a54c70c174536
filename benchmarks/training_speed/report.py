"""From measurements to ratios beside their targets. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import models
from benchmarks.training_speed import quality
from benchmarks.training_speed.records import Records

TARGETS_COLD = {"10M": 4.0, "22M": 3.5}
GROUPED, FACTORY, WARM, GPU = 2.5, 2.0, 6.0, 1.3
LOOP, MEMORY, RATE, CHAT = 1.05, 0.35, 0.65, 1.5
FLOPS = 1e9


@dataclass(frozen=True)
class Row:
    """One ratio.

    Attributes:
        name: what is divided by what.
        model: on which.
        rows: how many rows were learned; 0 where that does not matter.
        values: a repeat each.
        target: None where it is reported only.
        at_least: whether the target is a lower bound.
    """

    name: str
    model: str
    rows: int
    values: list[float]
    target: float | None
    at_least: bool = True

    @property
    def holds(self) -> bool | None:
        """Whether the median meets the target."""
        if self.target is None:
            return None
        middle = statistics.median(self.values)
        return middle >= self.target if self.at_least else middle <= self.target

    def told(self) -> dict[str, Any]:
        """For machines."""
        return {
            "ratio": self.name,
            "model": self.model,
            "rows": self.rows,
            **models.median(self.values),
            "repeats": len(self.values),
            "target": self.target,
            "at_least": self.at_least,
            "holds": self.holds,
        }

    def line(self) -> str:
        """For people."""
        on = f"{self.model}, {self.rows} rows" if self.rows else self.model
        bound = (
            ""
            if self.target is None
            else f"  target {'≥' if self.at_least else '≤'}{self.target:g}"
        )
        short = "  FALLS SHORT" if self.holds is False else ""
        return f"  {self.name} ({on}): {models.shown(models.median(self.values))}{bound}{short}"


def rows(found: Records) -> list[Row]:
    """Every ratio for which there is something, CPU seconds before seconds by the clock."""
    made: list[Row] = []
    for model, count in _measured(found, "round"):

        def versus(
            other: str, name: str, target: float | None, model: str = model, count: int = count
        ) -> None:
            for figure, shown in (("cpu_seconds", "CPU"), ("wall_seconds", "wall")):
                values = found.pairs("round", model, count, other, under="ours", figure=figure)
                made.append(Row(f"{name} ÷ cold round, {shown}", model, count, values, target))

        versus("trl", "three TRL scripts", TARGETS_COLD.get(model))
        versus("trl-grouped", "the same, grouped lengths and compact head", GROUPED)
        versus("llamafactory", "LLaMA-Factory", FACTORY)
        memory = found.pairs("round", model, count, "ours", under="trl", figure="peak_mb")
        made.append(Row("peak memory, ours ÷ TRL", model, count, memory, MEMORY, at_least=False))
    for model, count in _measured(found, "start"):
        values = found.pairs(
            "start", model, count, "trl", under="warm", figure="first_step_seconds"
        )
        made.append(Row("TRL ÷ warm worker, to the first step", model, count, values, WARM))
    for model, count in _measured(found, "loop"):
        each = found.column("loop", model, count, "loop")
        over = [f["trainer_cpu_seconds"] / f["bare_cpu_seconds"] for f in each]
        made.append(Row("RoundTrainer ÷ bare loop", model, count, over, LOOP, at_least=False))
        achieved = [f["achieved_per_second"] / f["matmul_per_second"] for f in each]
        made.append(Row("achieved ÷ matmul rate", model, count, achieved, RATE))
    for model, count in _measured(found, "chat"):
        each = found.column("chat", model, count, "chat")
        for share, target in (("p99", CHAT), ("p50", None)):
            slower = [f[f"{share}_busy_ms"] / f[f"{share}_quiet_ms"] for f in each]
            made.append(
                Row(f"chat {share} beside a round ÷ without", model, count, slower, target, False)
            )
    for model, count in _measured(found, "gpu"):
        for figure, shown, target in (
            ("wall_seconds", "whole processes", GPU),
            ("steps_seconds", "steps after the first", None),
        ):
            values = found.pairs("gpu", model, count, "trl", under="ours", figure=figure)
            made.append(Row(f"TRL bf16 ÷ ours on a GPU, {shown}", model, count, values, target))
    return [row for row in made if row.values]


def learned(found: Records) -> list[dict[str, Any]]:
    """Each measure of quality: both sides over all seeds, and whether ours is within the spread."""
    ours = found.column("quality", "starter", 0, "ours")
    theirs = found.column("quality", "starter", 0, "trl")
    if not ours or len(ours) != len(theirs):
        return []
    return [
        _compared(name, [f[name] for f in ours], [f[name] for f in theirs])
        for name in quality.MEASURES
    ]


def _compared(name: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    return {
        "measure": name,
        "ours": models.median(ours),
        "trl": models.median(theirs),
        "within_spread": quality.within_spread(ours, theirs, more_is_better=quality.MEASURES[name]),
    }


def _measured(found: Records, section: str) -> list[tuple[str, int]]:
    """Models and numbers of rows of a section, in the order of their first measurement."""
    return list(dict.fromkeys((job.model, job.rows) for job, _ in found if job.section == section))
