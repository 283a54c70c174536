"""The report: every target as measured, a table for each stream, and pictures.

Knows records and how figures are made of them; runs nothing.
"""

import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.continual import metrics, plots
from benchmarks.continual.methods import EWC_FIELD, Method
from benchmarks.continual.metrics import Marked, Run
from benchmarks.continual.results import Record
from benchmarks.continual.runner import built
from benchmarks.continual.streams import MAKERS
from benchmarks.continual.targets import NOT_KNOWING, Found, kept_share, points, rows
from trainer import hardware
from trainer.settings import Plan

NAME = "continual-learning"
_MATRIX_METHODS = 3
_ABOUT = """\
The model is the starter (2.2M parameters). Every round people talk to the model as it is then and say
what they think of its answers. *heed* is the product's own path from what they say to the published
adapter, with a gate that only reports. The others get the same lessons, without reviewers, trust or
gate. Every question is asked in words that were never taught. Bounds are one-sided at 95%, with
questions about one thing kept together.

In the tables, *average accuracy* is over all that was learned and still holds after the last round;
*backward transfer* is what became of it since its own round, *right after learning*; *forward transfer*
is what was known of a task before its round, beyond what the starter knows. *Stale* are answers that
were true before a change, asked after every round since. *Flipped* are questions that some lie about, once
answered with the lie; with `--variant gated:gate=on` the gate decides, too. *Base kept* is the share of the starter's own
exam that it passed and that is still passed word for word; *of what it knew* leaves out questions that
the shop cannot answer. CPU seconds and tokens are those of training. The modules in
`benchmarks/continual` say how streams, methods and figures are made; `--variant` adds a row for any
setting of the plan."""


def runs(records: Sequence[Record], *, scale: float) -> Found:
    """Records by stream and method, a run for each seed."""
    grouped: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
    for record in records:
        grouped[record.job.stream, record.job.method, record.job.seed].append(record)
    found: Found = {}
    order = list(MAKERS)
    for (stream, method, seed), some in sorted(grouped.items(), key=lambda e: order.index(e[0][0])):
        rounds = {each.job.number: each for each in some if each.job.ways is None}
        if rounds:
            needs = tuple(each for each in some if each.job.ways is not None)
            run = Run(built(stream, seed, scale), seed, rounds, needs)
            found.setdefault(stream, {}).setdefault(method, []).append(run)
    return found


def write(folder: Path, found: Found, known: dict[str, Any], gate: dict[str, Any] | None) -> Path:
    """Write the report and its pictures; returns where it lies.

    Args:
        folder: receives ``continual-learning.md`` and ``img/``.
        found: the runs.
        known: what the folder of results notes of them: scale, methods, commands.
        gate: what `benchmarks.gate_power` wrote, if it was run.
    """
    scale = known["scale"]
    sizes = "" if scale == 1 else f" Each round brings {scale:g} of the full size."
    commands = "\n".join(f"    {command}" for command in known["commands"])
    measured = {method for by_method in found.values() for method in by_method}
    methods = [Method(**each) for name, each in known["methods"].items() if name in measured]
    parts = [
        "# Continual learning, measured",
        f"What a model knows after many rounds, measured with\n\n{commands}",
        f"On {_machine()}.{sizes} {_states(found)}",
        _ABOUT,
        "## Targets",
        _targets(found, gate),
    ]
    for stream, by_method in found.items():
        parts += _stream(folder, stream, by_method)
    parts += ["## Methods", _methods(methods)]
    path = folder / f"{NAME}.md"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n")
    return path


def figures(found: Found, gate: dict[str, Any] | None) -> dict[str, Any]:
    """The same as data."""
    return {
        "targets": [
            {"target": row.target, "pass": row.passes, "measured": row.measured, "holds": row.holds}
            for row in rows(found, "heed", gate)
        ],
        "streams": {
            stream: {
                method: {
                    "seeds": len(some),
                    "rounds": min(run.last for run in some),
                    "average_accuracy": _value(some, metrics.final()),
                    "plasticity": _value(some, metrics.right_after),
                    "stale": _value(some, metrics.stale),
                    "kept": kept_share(some, by_method.get("frozen", [])),
                    "kept_known": kept_share(
                        some, by_method.get("frozen", []), without=NOT_KNOWING
                    ),
                    "train_cpu_seconds": _cost(some),
                }
                for method, some in by_method.items()
            }
            for stream, by_method in found.items()
        },
    }


def _targets(found: Found, gate: dict[str, Any] | None) -> str:
    said = {True: "holds", False: "**falls short**", None: "not in this run"}
    return _table(
        ("target", "pass", "measured", ""),
        [
            (row.target, row.passes, row.measured or "–", said[row.holds])
            for row in rows(found, "heed", gate)
        ],
    )


def _stream(folder: Path, stream: str, by_method: dict[str, list[Run]]) -> list[str]:
    frozen, ours = by_method.get("frozen", []), by_method.get("heed", [])
    lines = []
    for method, some in by_method.items():
        last = {run.last for run in some}
        even = last.pop() if len(last) == 1 else None
        change = metrics.backward_transfer(some)
        beside = None
        if ours and method != "heed":
            common = min(run.last for run in (*some, *ours))
            if all(common in run.rounds for run in (*some, *ours)):
                beside = metrics.difference(
                    metrics.pooled(some, metrics.final(common)),
                    metrics.pooled(ours, metrics.final(common)),
                    [*some, *ours],
                )
        ahead = _value(some, metrics.before_learning)
        blank = _value(frozen, metrics.before_learning)
        lines.append(
            (
                method,
                f"{len(some)} × {even or 'different'}",
                _percent(_value(some, metrics.final())) + _spread(some),
                points(beside) if beside else "–",
                points(change) if change else "–",
                f"{100 * (ahead - blank):+.1f}" if ahead is not None and blank is not None else "–",
                _percent(_value(some, metrics.right_after)),
                _percent(_value(some, metrics.stale)),
                _percent(_value(some, metrics.flipped)),
                _percent(kept_share(some, frozen)),
                _percent(kept_share(some, frozen, without=NOT_KNOWING)),
                f"{_cost(some):,.0f}",
                f"{_mean(some, lambda record: record.tokens):,.0f}",
            )
        )
    head = (
        *("method", "seeds × rounds", "average accuracy", "beside heed", "backward transfer"),
        *(
            "forward transfer",
            "right after learning",
            "stale",
            "flipped",
            "base kept",
            "of what it knew",
            "train CPU s",
            "tokens",
        ),
    )
    parts = [f"## Stream {stream}: {MAKERS[stream].title}", _table(head, lines)]
    gates = _gates(ours)
    if gates:
        parts.append(gates)
    return parts + _pictures(folder, stream, by_method)


def _pictures(folder: Path, stream: str, by_method: dict[str, list[Run]]) -> list[str]:
    if max(run.last for some in by_method.values() for run in some) < 2:
        return []
    accuracy = {name: metrics.curve(some, metrics.final) for name, some in by_method.items()}
    image = f"img/continual-{stream.lower()}-accuracy.png"
    plots.curves(folder / image, accuracy, title="what was learned so far and still holds")
    parts = [f"![Average accuracy by round, stream {stream}]({image})"]
    whole = {
        name: some[0]
        for name, some in by_method.items()
        if len(some[0].rounds) == some[0].last and name not in ("frozen", "lookup")
    }
    first = list(whole)[:_MATRIX_METHODS]
    if first:
        image = f"img/continual-{stream.lower()}-matrix.png"
        plots.matrix(
            folder / image,
            first,
            [metrics.matrix(whole[name]) for name in first],
            title="accuracy on each task after each round (first seed)",
        )
        parts.append(f"![Accuracy on each task after each round, stream {stream}]({image})")
    return parts


def _gates(ours: Sequence[Run]) -> str:
    said: dict[str, int] = defaultdict(int)
    for run in ours:
        for record in run.rounds.values():
            said[str(record.notes.get("gate") or record.notes.get("state"))] += 1
    if not said:
        return ""
    told = ", ".join(f"{outcome} {count} times" for outcome, count in sorted(said.items()))
    return f"The gate, which only reports here, would have said: {told}."


def _methods(methods: Sequence[Method]) -> str:
    lines = []
    for method in methods:
        fields = {**method.plan, **{f"feedback.{k}": v for k, v in method.feedback.items()}}
        said = ", ".join(f"{name} {value}" for name, value in fields.items())
        lines.append((method.name, method.kind, said or "the defaults"))
    table = _table(("name", "kind", "settings"), lines)
    if EWC_FIELD not in Plan.model_fields:
        table += f"\n\nEWC is not available: the plan has no field `{EWC_FIELD}`."
    return table


def _states(found: Found) -> str:
    seeds = sorted({len(some) for by_method in found.values() for some in by_method.values()})
    if not seeds:
        return "Nothing is measured yet."
    said = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    return f"Seeds: {said}."


def _machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{hardware.cores()} cores ({model}), Python {platform.python_version()}"


def _value(some: Sequence[Run], of: Callable[[Run], Marked]) -> float | None:
    return metrics.share(metrics.pooled(some, of))


def _spread(some: Sequence[Run]) -> str:
    each = [_value([run], metrics.final()) for run in some]
    known = [value for value in each if value is not None]
    return f" ({min(known):.1%} to {max(known):.1%})" if len(known) > 1 else ""


def _cost(some: Sequence[Run]) -> float:
    return _mean(some, lambda record: record.train_cpu_seconds)


def _mean(some: Sequence[Run], of: Callable[[Record], float]) -> float:
    return fmean(sum(of(record) for record in run.rounds.values()) for run in some)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows_ = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows_)
