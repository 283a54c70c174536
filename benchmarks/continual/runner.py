"""Works through the jobs: one round of one method after the other, each written down as it ends.

Knows how methods are called; nothing of what is made of the figures.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from benchmarks.continual import baselines, product
from benchmarks.continual.asking import Asked, Marks, exam, examined, matrix_row
from benchmarks.continual.methods import Kind, Learned, Method, Work
from benchmarks.continual.results import Job, Record, Results
from benchmarks.continual.streams import MAKERS
from benchmarks.continual.tasks import Stream

LEARNERS: dict[Kind, Callable[[Method, Work], Learned]] = {
    "heed": product.learn,
    "frozen": baselines.frozen,
    "sequential": baselines.sequential,
    "ewc": baselines.ewc,
    "uniform": baselines.uniform,
    "joint": baselines.joint,
    "lookup": baselines.frozen,
}
KEEPS: frozenset[Kind] = frozenset({"heed", "sequential", "ewc", "uniform"})
"""Methods whose rounds go on from the one before."""
OURS: frozenset[Kind] = frozenset({"heed", "frozen"})
"""What is run on streams on which Heed is compared with nobody: itself, and what it began with."""
NEED_STREAM = "A"
NEED_WAYS = (1, 2, 3)
"""How many are needed is measured at the first and the last round, with so many lessons a fact."""


def jobs(
    streams: Sequence[str],
    methods: Sequence[Method],
    *,
    seeds: int,
    rounds: int | None,
    needs: bool = True,
) -> Iterator[Job]:
    """Every job, in the order in which they run: one seed of everything before the next.

    Args:
        streams: their names.
        methods: what learns them.
        seeds: how many, from 0.
        rounds: at most so many; each stream has its own number.
        needs: whether to find out how many lessons the first and the last round need.
    """
    for name in streams:
        last = rounds_of(name, rounds)
        for seed in range(seeds):
            for method in methods:
                if not MAKERS[name].compared and method.kind not in OURS:
                    continue
                for number in range(1, last + 1):
                    if not method.learns_in(number, last):
                        continue
                    if needs and method.kind == "heed" and name == NEED_STREAM and last > 1:
                        for ways in NEED_WAYS if number in (1, last) else ():
                            yield Job(name, method.name, seed, number, ways)
                    yield Job(name, method.name, seed, number)


def rounds_of(stream: str, asked: int | None) -> int:
    """How many rounds a stream is run for: its own number, or fewer."""
    own = MAKERS[stream].rounds
    return own if asked is None else min(asked, own)


@lru_cache(maxsize=4)
def built(name: str, seed: int, scale: float) -> Stream:
    """A stream in full length; a shorter run takes its beginning."""
    maker = MAKERS[name]
    return maker.build(seed, maker.rounds, scale)


def run(
    job: Job,
    method: Method,
    results: Results,
    *,
    scale: float,
    threads: int | None,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> Record:
    """Run one job, measure what it left, and write both down.

    Raises:
        Invalid: the round failed, or what it should go on from is gone.
    """
    started = time.perf_counter()
    stream = built(job.stream, job.seed, scale)
    keeps = method.kind in KEEPS
    with results.working(job, keeps=keeps) as (kept, scratch):
        work = Work(stream, job.number, job.seed, kept, scratch, threads, job.ways, report)
        learned = LEARNERS[method.kind](method, work)
        report(0.9, "asking what is known")
        asked = _asked(method, work, learned.adapter)
        record = Record(
            job=job,
            row=matrix_row(asked, stream, job.number),
            exam=examined(asked, exam(stream.changed)),
            traps=asked.marks(stream.traps),
            train_cpu_seconds=round(learned.train_cpu_seconds, 3),
            cpu_seconds=round(learned.cpu_seconds, 3),
            tokens=learned.tokens,
            steps=learned.steps,
            examples=learned.examples,
            seconds=round(time.perf_counter() - started, 3),
            notes=learned.notes,
        )
        results.write(record, kept if keeps and job.ways is None else None)
    return record


def _asked(method: Method, work: Work, adapter: Path | None) -> Marks:
    if method.kind == "lookup":
        return baselines.LookUp(work)
    return Asked(adapter, threads=work.threads)
