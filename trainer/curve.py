"""The loss curve of a round: one line per optimizer step, kept beside the round and read by people.

Knows no torch and no database. It holds numbers only, nothing that anybody said.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

FOLDER = "curves"
SHOWN_POINTS = 500

Point = TypeVar("Point")


@dataclass(frozen=True)
class Progress:
    """One optimizer step, as it is reported.

    Attributes:
        step: from 1.
        steps: how many there will be, as far as is known.
        loss: weighted loss of the step.
        learning_rate: that the step was taken at.
        tokens: seen so far, without padding, a shared prompt counted once.
        seconds: since training began, those before an interruption included.
        objectives: each objective's loss, unweighted.
        gradient_norm: before clipping.
        dev_loss: weighted loss on dev after the step, where it was looked at.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    objectives: dict[str, float] = field(default_factory=dict)
    gradient_norm: float = 0.0
    dev_loss: float | None = None


def place(data_dir: Path, round_id: str) -> Path:
    """Return where a round's curve lies."""
    return data_dir / FOLDER / f"{round_id}.jsonl"


class CurveFile:
    """Writes a curve step by step, so that it can be watched while it grows.

    A round that is taken up again goes on where its checkpoint stood: what an earlier attempt
    wrote beyond that is dropped.

    Args:
        path: of the file; made with its folder when the first step comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = False

    def add(self, step: Progress) -> None:
        """Write one step down."""
        if not self._begun:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            earlier = [row for row in _rows(self._path) if row["step"] < step.step]
            self._path.write_text("".join(f"{json.dumps(row)}\n" for row in earlier))
            self._begun = True
        with self._path.open("a") as file:
            file.write(f"{json.dumps(asdict(step))}\n")


def read(path: Path, *, points: int = SHOWN_POINTS) -> list[dict[str, Any]]:
    """Return a curve, thinned out to so many points; empty where none was written.

    The last step and every step with a loss on dev are always among them.
    """
    rows = _rows(path)
    kept = set(thinned(range(len(rows)), points))
    return [row for at, row in enumerate(rows) if at in kept or row.get("dev_loss") is not None]


def drawn(data_dir: Path, round_id: str) -> list[dict[str, Any]]:
    """Return a round's curve as it is shown; empty where none was written."""
    return read(place(data_dir, round_id))


def thinned(rows: Sequence[Point], points: int) -> list[Point]:
    """Return at most so many of the rows, evenly spread, the first and the last among them."""
    if len(rows) <= points:
        return list(rows)
    last = len(rows) - 1
    return [rows[round(at * last / (points - 1))] for at in range(points)]


def _rows(path: Path) -> list[dict[str, Any]]:
    """What was written; a line that a crash or a full disk cut short is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
