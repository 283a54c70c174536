"""How long it will still take, from what each kind of round has taken so far, and a bar that says so."""

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from benchmarks.continual.results import Job, Record

FIRST_GUESS_SECONDS = 60.0
"""Before anything is measured."""


class Estimate:
    """Seconds of jobs that are still to come, from those that are done.

    A round takes longer the more is known, since all of it is asked again and some rehearsed: the
    nearest measured rounds of the same method on the same stream count, scaled by their number where
    only earlier ones are known; else the method's on other streams; else everything's.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], dict[int, list[float]]]
        self._seconds = defaultdict(lambda: defaultdict(list))

    def add(self, record: Record) -> None:
        """Take note of a job that is done."""
        job = record.job
        self._seconds[job.stream, job.method][job.number].append(record.seconds)

    def of(self, job: Job) -> float:
        """Seconds that a job will take, as far as can be told."""
        own = self._seconds.get((job.stream, job.method))
        if own:
            nearest = min(own, key=lambda number: (abs(number - job.number), number))
            mean = sum(own[nearest]) / len(own[nearest])
            # Half of a first round is what any round costs; the rest grows with what is known.
            growth = (1 + max(job.number, 1) / 20) / (1 + nearest / 20)
            return mean * growth
        others = [
            seconds
            for (_, method), rounds in self._seconds.items()
            if method == job.method
            for each in rounds.values()
            for seconds in each
        ] or [
            seconds
            for rounds in self._seconds.values()
            for each in rounds.values()
            for seconds in each
        ]
        return sum(others) / len(others) if others else FIRST_GUESS_SECONDS

    def left(self, jobs: Sequence[Job]) -> float:
        """Seconds that all of these will take."""
        return sum(self.of(job) for job in jobs)


class Bar:
    """A progress bar over jobs, with the time that is left as estimated from those done.

    Without a terminal it prints a line for each job instead.
    """

    def __init__(
        self, console: Console, estimate: Estimate, jobs: Sequence[Job], done: int
    ) -> None:
        self._estimate, self._left = estimate, list(jobs)
        self._console = console
        self._began = time.monotonic()
        self._done, self._total = done, done + len(jobs)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[done]}/{task.fields[all]} rounds"),
            TimeElapsedColumn(),
            _Left(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(
            "starting", total=1.0, done=done, all=self._total, left=estimate.left(jobs)
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def at(self, job: Job, share: float, what: str) -> None:
        """Say where a job stands."""
        left = self._estimate.left(self._left) - share * self._estimate.of(job)
        self._show(f"{_named(job)}: {what}", left)

    def elsewhere(self, job: Job) -> None:
        """A job was done by somebody else meanwhile."""
        self._left.remove(job)
        self._done += 1

    def finished(self, job: Job, record: Record) -> None:
        """A job is done."""
        self._estimate.add(record)
        self._left.remove(job)
        self._done += 1
        left = self._estimate.left(self._left)
        self._show(_named(job), left)
        if not self._console.is_terminal:
            self._console.print(
                f"{self._done}/{self._total} {_named(job)}: {record.seconds:.0f} s, "
                f"about {spoken(left)} left",
                highlight=False,
            )

    def _show(self, text: str, left: float) -> None:
        left = max(left, 0.0)
        elapsed = time.monotonic() - self._began
        self._progress.update(
            self._task,
            description=text,
            completed=elapsed,
            total=max(elapsed + left, 1e-9),
            done=self._done,
            left=left,
        )


def spoken(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"


def _named(job: Job) -> str:
    ways = f", {job.ways} lessons a fact" if job.ways else ""
    return f"{job.stream} {job.method} seed {job.seed} round {job.number}{ways}"


class _Left(ProgressColumn):
    """What is left, as estimated."""

    def render(self, task: Task) -> Text:
        return Text(f"about {spoken(float(task.fields['left']))} left")
