"""What was measured, one small file for each round, and what a later round goes on from.

A file is there whole or not at all, so a run that is killed goes on where it was. Knows no model and
no method.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from feedback.errors import HeedError, Invalid

RECORD = "record.json"


@dataclass(frozen=True)
class Job:
    """One round of one method on one stream.

    Attributes:
        stream: its name.
        method: its name.
        seed: of stream and training.
        number: the round, counted from 1.
        ways: only so many lessons about each thing, to see how many are needed; the round's outcome
            is measured and thrown away. None is the round itself.
    """

    stream: str
    method: str
    seed: int
    number: int
    ways: int | None = None

    @property
    def file(self) -> str:
        """The name of its file."""
        if self.ways is None:
            return f"round-{self.number:02d}.json"
        return f"round-{self.number:02d}-ways-{self.ways}.json"


@dataclass(frozen=True)
class Record:
    """What one job measured.

    Attributes:
        job: which one.
        row: marks on every task so far and on the next, one string a task (see `tasks`).
        exam: marks on what the starter could do, by topic.
        traps: marks on what some accounts lie about.
        train_cpu_seconds: CPU time of training.
        cpu_seconds: of the whole round, judging included.
        tokens: trained on.
        steps: optimizer steps.
        examples: rows trained on.
        seconds: by the clock, with what measuring took.
        notes: the gate's verdict and the like.
    """

    job: Job
    row: list[str]
    exam: dict[str, str]
    traps: str
    train_cpu_seconds: float
    cpu_seconds: float
    tokens: int
    steps: int
    examples: int
    seconds: float
    notes: dict[str, Any] = field(default_factory=dict)


class Taken(HeedError):
    """Another command works on this method with this stream and seed."""

    code = "conflict"


class Results:
    """A folder of records, and of the states that rounds left.

    Args:
        folder: made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def agree(
        self, about: dict[str, Any], methods: dict[str, dict[str, Any]], command: str | None
    ) -> dict[str, Any]:
        """Note what the records are of, and return all that is noted.

        Args:
            about: what must be the same for all records.
            methods: by name, all that tells one from another of the same name.
            command: by which they are measured; None where nothing is measured now.

        Raises:
            Invalid: records of another size, or of another method of the same name, are here.
        """
        path = self.folder / "about.json"
        fresh: dict[str, Any] = {**about, "methods": {}, "commands": []}
        known = json.loads(path.read_text()) if path.exists() else fresh
        for name, value in about.items():
            if known.get(name) != value:
                raise Invalid(
                    f"{self.folder} holds results with {name} {known.get(name)}, not {value}. Give "
                    "another folder with --out.",
                    param="out",
                )
        for name, method in methods.items():
            earlier = known["methods"].setdefault(name, method)
            if earlier != json.loads(json.dumps(method)):
                raise Invalid(
                    f"{self.folder} holds results of another method called {name!r}: {earlier}. "
                    "Give this one another name, or another folder with --out.",
                    param="out",
                )
        if command and command not in known["commands"]:
            known["commands"].append(command)
        write_whole(path, json.dumps(known, indent=1))
        return dict(known)

    def has(self, job: Job) -> bool:
        """Whether a job is done; one that was killed between its two last steps is finished here."""
        path = self._path(job)
        left = self._state(job) / RECORD
        if job.ways is None and not path.exists() and left.exists():
            write_whole(path, left.read_text())
        return path.exists()

    def records(self) -> list[Record]:
        """Everything measured so far, in the order of the files' names."""
        return [_read(path) for path in sorted((self.folder / "results").glob("*/*/*/*.json"))]

    @contextmanager
    def working(self, job: Job, *, keeps: bool) -> Iterator[tuple[Path, Path]]:
        """Give a copy of what the round before left, and an empty scratch folder.

        Args:
            job: which one.
            keeps: whether its method keeps anything from round to round.

        Raises:
            Invalid: what the round before left is gone.
            Taken: another command works here.
        """
        before = self._state(Job(job.stream, job.method, job.seed, job.number - 1))
        folder = before.parent / "working"
        with _alone(before.parent):
            if self.has(job):
                raise Taken(f"Another command has just done {self._path(job)}.")
            shutil.rmtree(folder, ignore_errors=True)  # what a killed round left half done
            folder.mkdir()
            try:
                if keeps and job.number > 1:
                    if not before.is_dir():
                        raise Invalid(
                            f"{before} is gone, from which round {job.number} goes on; remove the "
                            f"results in {self._path(job).parent} to begin anew."
                        )
                    shutil.copytree(before, folder / "kept")
                    (folder / "kept" / RECORD).unlink(missing_ok=True)
                else:
                    (folder / "kept").mkdir()
                (folder / "scratch").mkdir()
                yield folder / "kept", folder / "scratch"
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def write(self, record: Record, kept: Path | None) -> None:
        """Keep a record and, for a round that later ones go on from, what it left."""
        text = json.dumps(asdict(record), indent=1)
        if kept is not None:
            (kept / RECORD).write_text(text)
            state = self._state(record.job)
            shutil.rmtree(state, ignore_errors=True)
            os.replace(kept, state)
        write_whole(self._path(record.job), text)
        if kept is not None:
            job = record.job
            before = self._state(Job(job.stream, job.method, job.seed, job.number - 1))
            shutil.rmtree(before, ignore_errors=True)

    def _path(self, job: Job) -> Path:
        return self.folder / "results" / job.stream / job.method / f"seed-{job.seed:02d}" / job.file

    def _state(self, job: Job) -> Path:
        place = self.folder / "state" / job.stream / job.method / f"seed-{job.seed:02d}"
        return place / f"round-{job.number:02d}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second command out of a folder; the lock goes with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Taken(
                f"Another command works in {folder} now; let it end, or ask for other streams, "
                "methods or seeds."
            ) from error
        yield


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(f".{os.getpid()}.part")
    staging.write_text(text)
    os.replace(staging, path)


def _read(path: Path) -> Record:
    stored = json.loads(path.read_text())
    return Record(**{**stored, "job": Job(**stored["job"])})
