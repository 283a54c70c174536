"""From marks to figures: accuracy, transfer, forgetting, stale answers, cost, with their bounds.

The names are those of Lopez-Paz and Ranzato (2017, "Gradient episodic memory for continual
learning") and Díaz-Rodríguez et al. (2018, "Don't forget, there is more than forgetting"). Shares
are over questions that still hold, so that every question counts once. Pure; knows no method.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np

from benchmarks.continual.results import Record
from benchmarks.continual.tasks import RETIRED, RIGHT, STALE, Stream
from trainer.intervals import Interval, paired_difference

Marked = dict[tuple[int, str], int]
"""By (seed, question): 1 where it was answered rightly, 0 where not."""


@dataclass(frozen=True)
class Run:
    """One method on one stream with one seed: its rounds in order, by their number."""

    stream: Stream
    seed: int
    rounds: dict[int, Record]
    needs: tuple[Record, ...] = ()

    @property
    def last(self) -> int:
        """The last round measured."""
        return max(self.rounds)

    def until(self, number: int) -> "Run":
        """The same run as it was after a round."""
        rounds = {each: record for each, record in self.rounds.items() if each <= number}
        return Run(self.stream, self.seed, rounds, self.needs)

    def row(self, number: int) -> list[str]:
        """Marks after a round."""
        return self.rounds[number].row


def pooled(runs: Iterable[Run], of: Callable[[Run], Marked]) -> Marked:
    """The marks of several seeds together."""
    found: Marked = {}
    for run in runs:
        found |= of(run)
    return found


def share(marked: Marked) -> float | None:
    """How many are right; None where nothing was asked."""
    return fmean(marked.values()) if marked else None


def difference(ours: Marked, theirs: Marked, runs: Sequence[Run]) -> Interval | None:
    """Ours minus theirs on the questions that both were asked, with one-sided 95% bounds.

    Questions about one thing with one seed stand or fall together.
    """
    both = [key for key in ours if key in theirs]
    if not both:
        return None
    subjects = {
        (run.seed, probe.id): probe.about
        for run in runs
        for probe in [
            *(each for task in run.stream.tasks for each in task.probes),
            *run.stream.traps,
        ]
    }
    clusters = [(seed, subjects.get((seed, name), name)) for seed, name in both]
    return paired_difference([ours[key] - theirs[key] for key in both], clusters)


def final(number: int | None = None) -> Callable[[Run], Marked]:
    """Everything learned so far that still holds, after a round (the last one)."""

    def of(run: Run) -> Marked:
        after = number or run.last
        return _marked(run, after, range(after))

    return of


def right_after(run: Run) -> Marked:
    """Each task right after its own round: plasticity."""
    found: Marked = {}
    for number in run.rounds:
        found |= _marked(run, number, [number - 1])
    return found


def before_learning(run: Run) -> Marked:
    """Each task before its own round, as the one before left it."""
    found: Marked = {}
    for number in run.rounds:
        if number < len(run.stream.tasks):
            found |= _marked(run, number, [number])
    return found


def backward_transfer(runs: Sequence[Run]) -> Interval | None:
    """What earlier tasks lost (or gained) since they were learned, on questions that still hold."""
    then: Marked = {}
    now: Marked = {}
    for run in runs:
        earlier = range(run.last - 1)
        if any(number + 1 not in run.rounds for number in earlier):
            continue
        after = _marked(run, run.last, earlier)
        first = right_after(run)
        now |= after
        then |= {key: first[key] for key in after}
    return difference(now, then, runs)


def stale(run: Run) -> Marked:
    """Of questions whose answer has changed: those answered as before, at any time since (1: stale)."""
    found: Marked = {}
    for number in run.rounds:
        for task in range(number):
            marks = run.row(number)[task]
            for probe, mark in zip(run.stream.tasks[task].probes, marks, strict=True):
                if probe.check.stale and mark != RETIRED:
                    key = (run.seed, f"{number} {probe.id}")
                    found[key] = int(mark == STALE)
    return found


def kept(run: Run, reference: Run, *, without: str = "") -> Marked:
    """Of the exam's questions that the starter answered rightly: those that still are.

    Args:
        run: the last round of which is looked at.
        reference: one that never learns.
        without: a topic that is left out.
    """
    before = reference.rounds[min(reference.rounds)].exam
    return {
        (run.seed, f"{topic} {place}"): int(mark == RIGHT)
        for topic, marks in run.rounds[run.last].exam.items()
        if topic != without
        for place, (mark, first) in enumerate(zip(marks, before[topic], strict=True))
        if first == RIGHT
    }


def flipped(run: Run) -> Marked:
    """Traps that were ever answered with the lie (1: flipped)."""
    marks = [record.traps for record in run.rounds.values()]
    return {
        (run.seed, probe.id): int(any(mark[place] == STALE for mark in marks))
        for place, probe in enumerate(run.stream.traps)
    }


def matrix(run: Run) -> np.ndarray:
    """A[i, j]: accuracy on task j after round i; NaN where it was not asked."""
    rounds = sorted(run.rounds)
    found = np.full((len(rounds), run.last), np.nan)
    for place, number in enumerate(rounds):
        for task in range(number):
            marks = [mark for mark in run.row(number)[task] if mark != RETIRED]
            if marks:
                found[place, task] = marks.count(RIGHT) / len(marks)
    return found


def curve(runs: Sequence[Run], of: Callable[[int], Callable[[Run], Marked]]) -> dict[int, float]:
    """A figure by round, over the seeds that have got so far; `of` says which marks at a round."""
    found = {}
    for number in sorted({number for run in runs for number in run.rounds}):
        some = [run for run in runs if number in run.rounds]
        value = share(pooled(some, of(number)))
        if value is not None:
            found[number] = value
    return found


def cumulative_cost(run: Run, until: int) -> float:
    """CPU seconds of training in the rounds up to one, those not run estimated from those that were.

    A method that trains at some rounds only would in use train at each: its cost is taken to be
    linear between those that were run, from nothing at round 0.
    """
    known = sorted(number for number in run.rounds if number <= until)
    if not known:
        return float("nan")
    costs = [run.rounds[number].train_cpu_seconds for number in known]
    if len(known) == until:
        return float(sum(costs))
    return float(np.interp(range(1, until + 1), [0, *known], [0.0, *costs]).sum())


def needed(run: Run, number: int, ways_in_all: int, *, level: float) -> float | None:
    """How many lessons a fact it took in a round until so many were known, between those tried.

    None where all of them were not enough, or nothing was tried.
    """
    task = number - 1
    tried = {
        record.job.ways: _share_of(record.row[task])
        for record in run.needs
        if record.job.number == number and record.job.ways is not None
    }
    if not tried or number not in run.rounds:
        return None
    tried[ways_in_all] = _share_of(run.row(number)[task])
    points = [(0, 0.0), *sorted(tried.items())]
    for (few, low), (more, high) in pairwise(points):
        if high >= level:
            return few + (more - few) * (level - low) / (high - low) if high > low else float(more)
    return None


def _marked(run: Run, number: int, tasks: Iterable[int]) -> Marked:
    row = run.row(number)
    return {
        (run.seed, probe.id): int(mark == RIGHT)
        for task in tasks
        if task < len(row)
        for probe, mark in zip(run.stream.tasks[task].probes, row[task], strict=True)
        if mark != RETIRED
    }


def _share_of(marks: str) -> float:
    asked = [mark for mark in marks if mark != RETIRED]
    return asked.count(RIGHT) / max(len(asked), 1)
