"""The continual-learning benchmark: what a model knows after many rounds, and what it forgot.

    python -m benchmarks.continual [--streams A,B,…] [--methods heed,…] [--seeds 3] [--rounds N]

Every round of every method is written down as it ends. Stopped or killed, the same command goes on
where it was; more seeds, rounds or methods may be asked for later. Several commands may share a
folder: each leaves alone what another works on. See `benchmarks/continual/` for what is measured and how.
"""

import argparse
import json
import logging
import os
import shlex
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from rich.console import Console
from rich.markup import escape

from benchmarks.continual import report, runner
from benchmarks.continual.methods import Method, chosen
from benchmarks.continual.progress import Bar, Estimate, spoken
from benchmarks.continual.results import Job, Results, Taken
from benchmarks.continual.streams import MAKERS, named
from feedback.errors import HeedError
from trainer import hardware

log = logging.getLogger("heed.benchmark")


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 where everything asked for is measured, 3 where some is left."""
    given = sys.argv[1:] if arguments is None else arguments
    asked = _parser().parse_args(given)
    console = Console(stderr=True)
    try:
        methods = chosen(asked.methods, asked.variant)
        streams = named(asked.streams)
        results = Results(asked.out)
        command = shlex.join(["python", "-m", "benchmarks.continual", *_public(given)])
        known = results.agree(
            {"scale": asked.scale},
            {each.name: each.about() for each in methods},
            None if asked.report_only else command,
        )
        left = measure(
            results,
            streams,
            methods,
            seeds=asked.seeds,
            rounds=asked.rounds,
            scale=asked.scale,
            threads=asked.threads,
            minutes=0.0 if asked.report_only else asked.minutes,
            console=console,
            needs=not asked.without_needs,
        )
    except HeedError as fault:
        console.print(f"[red]{escape(fault.message)}", highlight=False)
        return 2
    except KeyboardInterrupt:
        console.print("Stopped; the same command goes on from here.")
        return 130
    found = report.runs(results.records(), scale=asked.scale)
    power = asked.out / "gate.json"
    gate = json.loads(power.read_text()) if power.exists() else None
    for folder in (asked.out, *([asked.docs] if asked.docs else [])):
        path = report.write(folder, found, known, gate)
        console.print(f"The report: {path}", highlight=False)
    if asked.json:
        print(json.dumps(report.figures(found, gate), indent=1))
    return 3 if left else 0


def measure(
    results: Results,
    streams: list[str],
    methods: list[Method],
    *,
    seeds: int,
    rounds: int | None,
    scale: float,
    threads: int | None,
    minutes: float | None,
    console: Console,
    needs: bool = True,
) -> int:
    """Run what is not measured yet, and return how many rounds are left where time ran out.

    A method whose round fails is left alone from there; what it did before is kept.
    """
    hardware.calm_threads()
    by_name = {method.name: method for method in methods}
    everything = list(runner.jobs(streams, methods, seeds=seeds, rounds=rounds, needs=needs))
    waiting = [job for job in everything if not results.has(job)]
    estimate = Estimate()
    for record in results.records():
        estimate.add(record)
    began = time.monotonic()
    left: list[Job] = []
    taken: set[tuple[str, str, int]] = set()
    failed: dict[tuple[str, str, int], str] = {}
    with Bar(console, estimate, waiting, len(everything) - len(waiting)) as bar:
        for place, job in enumerate(waiting):
            series = job.stream, job.method, job.seed
            spent = time.monotonic() - began
            if minutes is not None and spent + estimate.of(job) > 60 * minutes:
                left += waiting[place:]
                break
            if results.has(job):
                bar.elsewhere(job)
                continue
            if series in taken or series in failed:
                left.append(job)
                continue

            def tell(share: float, what: str, job: Job = job) -> None:
                bar.at(job, share, what)

            try:
                record = runner.run(
                    job, by_name[job.method], results, scale=scale, threads=threads, report=tell
                )
            except Taken:
                taken.add(series)
                left.append(job)
                continue
            except Exception as fault:  # one method that fails must not end a night's work
                failed[series] = f"{type(fault).__name__}: {fault}"
                left.append(job)
                log.warning("a round failed", exc_info=fault)
                continue
            bar.finished(job, record)
    left = [job for job in left if not results.has(job)]
    for (stream, name, seed), why in failed.items():
        console.print(f"[red]{stream} {name} seed {seed} stopped: {escape(why)}", highlight=False)
    if left:
        others = " Another command works on some of them." if taken else ""
        console.print(
            f"{len(left)} rounds are left, about {spoken(estimate.left(left))}; the same command "
            f"goes on with them.{others}",
            highlight=False,
        )
    return len(left)


def _parser() -> argparse.ArgumentParser:
    reader = argparse.ArgumentParser(
        prog="python -m benchmarks.continual",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reader.add_argument("--streams", default="A,B,C,D,E", help=f"of {', '.join(MAKERS)}")
    reader.add_argument("--methods", help="names, separated by commas; all by default")
    reader.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME:key=value,…",
        help="a method with other settings of the plan; NAME@METHOD:… varies another than heed, "
        "feedback.KEY sets one of the store; gate=on lets the gate decide; may be given again",
    )
    reader.add_argument("--seeds", type=int, default=3)
    reader.add_argument(
        "--rounds", type=int, help="at most so many; each stream has its own number"
    )
    reader.add_argument("--scale", type=float, default=1.0, help="size of each round's news")
    reader.add_argument("--threads", type=int, help="CPU threads; as a round chooses by default")
    reader.add_argument("--minutes", type=float, help="begin no round that would end after that")
    reader.add_argument("--out", type=Path, default=Path("continual-benchmark"))
    reader.add_argument("--docs", type=Path, help="write the report into this folder as well")
    reader.add_argument(
        "--without-needs",
        action="store_true",
        help="do not repeat the first and last round of stream A with fewer lessons",
    )
    reader.add_argument("--report-only", action="store_true", help="measure nothing anew")
    reader.add_argument("--json", action="store_true", help="print the figures")
    return reader


def _public(given: list[str]) -> list[str]:
    """The arguments that decide what is measured: not where it is kept, nor how much of it today."""
    private = {"--out", "--docs", "--minutes", "--threads"}
    kept, skip = [], False
    for argument in given:
        if skip or argument in ("--report-only", "--json"):
            skip = False
            continue
        name, equals, _ = argument.partition("=")
        if name in private:
            skip = not equals
            continue
        kept.append(argument)
    return kept


if __name__ == "__main__":
    sys.exit(main())
