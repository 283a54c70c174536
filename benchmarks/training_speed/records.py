"""What is to be measured, and what was: one JSON line for each job, so that a run can go on.

Knows no contestant.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes:
        section: which comparison it belongs to.
        model: a size, or ``starter``.
        rows: how many are learned; 0 where that is not asked.
        repeat: counted from 0; contestants of one repeat are compared with each other.
        contestant: whose turn it is.
    """

    section: str
    model: str
    rows: int
    repeat: int
    contestant: str


class Records:
    """The measurements of a run, kept in a file where one is given.

    Args:
        path: read where it exists, added to afterwards; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[Job, Figures] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                told = json.loads(line)
                self._known[Job(**told["job"])] = told["figures"]

    def __contains__(self, job: Job) -> bool:
        return job in self._known

    def __iter__(self) -> Iterator[tuple[Job, Figures]]:
        return iter(self._known.items())

    def add(self, job: Job, figures: Figures) -> None:
        """Keep what a job measured."""
        self._known[job] = figures
        if self._path is not None:
            line = json.dumps({"job": asdict(job), "figures": dict(figures)})
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def pairs(
        self, section: str, model: str, rows: int, over: str, *, under: str, figure: str
    ) -> list[float]:
        """`over` ÷ `under` in every repeat that has both, in order."""
        found = []
        for job, figures in sorted(self._known.items(), key=lambda item: item[0].repeat):
            if (job.section, job.model, job.rows, job.contestant) != (section, model, rows, over):
                continue
            other = self._known.get(Job(section, model, rows, job.repeat, under))
            if other is not None:
                found.append(figures[figure] / other[figure])
        return found

    def column(self, section: str, model: str, rows: int, contestant: str) -> list[Figures]:
        """One contestant's figures, a repeat each."""
        wanted = (section, model, rows, contestant)
        found = [
            (job.repeat, figures)
            for job, figures in self._known.items()
            if (job.section, job.model, job.rows, job.contestant) == wanted
        ]
        return [figures for _, figures in sorted(found, key=lambda item: item[0])]
