"""What a round learns from, frozen before training starts. Knows no database.

One JSONL file of rows and a manifest with the file's SHA-256 and a hash per row beside the ids of
the feedback it came from, so that erasing a person later leaves a tombstone and lineage can still
be checked: a row is the one that was frozen, or it is marked as forgotten.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feedback.errors import Invalid
from trainer.examples import Example, from_row

ROWS = "rows.jsonl"
MANIFEST = "manifest.json"


TOMBSTONE = "forgotten"


@dataclass(frozen=True)
class Snapshot:
    """A frozen set of examples: where it lies and what its bytes hash to."""

    folder: Path
    sha256: str


def freeze(
    folder: Path, examples: Sequence[Example], *, about: dict[str, Any] | None = None
) -> Snapshot:
    """Write the examples and their manifest, whole or not at all.

    Args:
        folder: where they go; made if need be, replaced if there.
        examples: in the order in which they are to be read again.
        about: more facts for the manifest (round, parent, seed).
    """
    lines = [json.dumps(asdict(example), sort_keys=True) for example in examples]
    content = "".join(f"{line}\n" for line in lines).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    manifest = {
        **(about or {}),
        "sha256": sha256,
        "counts": dict(Counter(f"{row.source} {row.role}" for row in examples)),
        "rows": [
            {
                "sha256": _sha256(line),
                "feedback": row.feedback_ids,
                "role": row.role,
                **({"document": row.document} if row.document else {}),
            }
            for line, row in zip(lines, examples, strict=True)
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / ROWS, content)
    _write(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return Snapshot(folder, sha256)


def frozen_before(folder: Path, sha256: str | None, examples: Sequence[Example]) -> Snapshot | None:
    """Return what an earlier attempt of the same round froze, if it still holds.

    What is new must be the same, since somebody may have taken something back meanwhile; which old
    material was drawn beside it may differ, since the world went on.

    Args:
        folder: of the round's snapshot.
        sha256: as the round's row has it; None where nothing was frozen.
        examples: as they would be frozen now.
    """
    found = intact(folder, sha256)
    if found is None:
        return None
    lines = (folder / ROWS).read_text().splitlines()
    before = [line for line in lines if json.loads(line)["source"] == "new"]
    now = [json.dumps(asdict(row), sort_keys=True) for row in examples if row.source == "new"]
    return found if Counter(before) == Counter(now) else None


def intact(folder: Path, sha256: str | None) -> Snapshot | None:
    """Return a snapshot whose rows are those that were frozen; None where they are not.

    Args:
        folder: of the snapshot.
        sha256: of its rows; None where nothing was frozen.
    """
    if sha256 is None or not (folder / ROWS).is_file():
        return None
    same = hashlib.sha256((folder / ROWS).read_bytes()).hexdigest() == sha256
    return Snapshot(folder, sha256) if same else None


def read(snapshot: Snapshot) -> list[Example]:
    """Return the examples of a snapshot.

    Raises:
        Invalid: the rows are not those that were frozen.
    """
    path = snapshot.folder / ROWS
    content = path.read_bytes() if path.is_file() else b"gone"
    if hashlib.sha256(content).hexdigest() != snapshot.sha256:
        raise Invalid(
            f"The snapshot in {snapshot.folder} was changed after it was frozen. The round is "
            "given up; its feedback waits for the next one."
        )
    return [from_row(json.loads(line)) for line in content.decode().splitlines()]


@dataclass(frozen=True)
class Lineage:
    """How much of a snapshot is still there: rows as they were frozen, and tombstones."""

    rows: int
    forgotten: int


def lineage(folder: Path) -> Lineage:
    """Hold a snapshot's rows against its manifest, also after somebody was forgotten.

    Raises:
        Invalid: a row is neither the one that was frozen nor its tombstone.
    """
    manifest, lines = _opened(folder)
    forgotten = 0
    for number, (line, row) in enumerate(zip(lines, manifest["rows"], strict=True), start=1):
        if row.get(TOMBSTONE):
            forgotten += 1
        if line != _tombstone(row) if row.get(TOMBSTONE) else _sha256(line) != row["sha256"]:
            raise Invalid(f"Row {number} of {folder / ROWS} is not the one that was frozen.")
    return Lineage(len(lines) - forgotten, forgotten)


def count(folder: Path, theirs: Callable[[dict[str, Any]], bool]) -> int:
    """Return how many rows `forget` would drop."""
    _, lines = _opened(folder)
    return sum(_is(line, theirs) for line in lines)


def feedback_ids(folder: Path) -> set[str]:
    """Return the feedback that a snapshot's rows came from, those that were forgotten included."""
    manifest, _ = _opened(folder)
    return {name for row in manifest["rows"] for name in row["feedback"]}


def forget(folder: Path, theirs: Callable[[dict[str, Any]], bool]) -> int:
    """Put tombstones in place of a person's rows, for a round that nobody runs any more.

    The manifest keeps the hash of what was frozen, row by row and as a whole, and marks what is
    gone. Interrupted at any moment, it is completed by being called again.

    Args:
        folder: of the snapshot.
        theirs: whether a row, as JSON, is to go.

    Returns:
        The number of rows that it dropped now.
    """
    manifest, lines = _opened(folder)
    kept, dropped = [], 0
    for line, row in zip(lines, manifest["rows"], strict=True):
        gone = _is(line, theirs)
        dropped += gone
        if gone or line == _tombstone(row):
            row[TOMBSTONE] = True
        kept.append(_tombstone(row) if row.get(TOMBSTONE) else line)
    content = "".join(f"{line}\n" for line in kept).encode()
    marked = sum(bool(row.get(TOMBSTONE)) for row in manifest["rows"])
    manifest[TOMBSTONE] = {"rows": marked, "sha256": hashlib.sha256(content).hexdigest()}
    if marked:
        _write(folder / ROWS, content)
        _write(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    for left in folder.glob("*.part"):  # what a crash may have left of the old content
        left.unlink()
    return dropped


def _opened(folder: Path) -> tuple[dict[str, Any], list[str]]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    return manifest, (folder / ROWS).read_text().splitlines()


def _is(line: str, theirs: Callable[[dict[str, Any]], bool]) -> bool:
    row = json.loads(line)
    return TOMBSTONE not in row and theirs(row)


def _tombstone(row: dict[str, Any]) -> str:
    return json.dumps({TOMBSTONE: row["sha256"]})


def _sha256(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    staging = path.with_suffix(".part")
    with staging.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staging, path)
