"""What a round learns from, frozen before training starts. Knows no database.

One JSONL file of rows and a manifest with the file's SHA-256 and a hash per row beside the ids of
the feedback it came from, so that erasing a person later leaves a tombstone and lineage can still
be checked.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feedback.errors import Invalid
from trainer.examples import Example

ROWS = "rows.jsonl"
MANIFEST = "manifest.json"


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
                "sha256": hashlib.sha256(line.encode()).hexdigest(),
                "feedback": row.feedback_ids,
                "role": row.role,
            }
            for line, row in zip(lines, examples, strict=True)
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / ROWS, content)
    _write(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    return Snapshot(folder, sha256)


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
    return [_example(json.loads(line)) for line in content.decode().splitlines()]


def _example(row: dict[str, Any]) -> Example:
    for name in ("messages", "feedback_ids"):
        row[name] = tuple(row[name])
    return Example(**row)


def _write(path: Path, content: bytes) -> None:
    staging = path.with_suffix(".part")
    with staging.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staging, path)
