"""Log-likelihoods that were computed before, kept on disk so that no model is asked twice.

The reference of DPO and KTO and the surprise of an old answer depend on the model and the tokens
alone: a round that is taken up again, or one that follows a round that was not promoted, finds
them. What is kept are hashes and numbers. Losing a file costs time and nothing else. Knows no torch.
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from trainer.rows import Row

FOLDER = "references"
KEPT_FILES = 8
KEPT_VALUES = 100_000
"""In one file, some seven megabytes; the values that were not used for longest go first."""


class References:
    """What one model finds how likely, in a file of its own.

    Args:
        folder: where such files lie; the oldest beyond a few are removed.
        model: names base and adapter, by their hashes.
        most: values in the file.
    """

    def __init__(self, folder: Path, *, model: str, most: int = KEPT_VALUES) -> None:
        name = hashlib.sha256(model.encode()).hexdigest()[:24]
        self._path = folder / f"{name}.json"
        self._most = most
        self._known = _read(self._path)

    def values(
        self, keys: Sequence[str], compute: Callable[[Sequence[int]], Sequence[float]]
    ) -> list[float]:
        """Return the values in order; `compute` is called once, with the numbers of those not known.

        Args:
            keys: say what the value is of, precision included; any length.
            compute: returns nats.
        """
        names = [_name(key) for key in keys]
        new = {name: at for at, name in enumerate(names) if name not in self._known}
        found = dict(zip(new, compute(list(new.values())), strict=True)) if new else {}
        values = [found[name] if name in found else self._known[name] for name in names]
        self._keep(dict(zip(names, values, strict=True)), changed=bool(new))
        return values

    def recall(self, rows: Sequence[Row], *, precision: str) -> list[Row]:
        """Fill in the references of the rows that are known, and return the others.

        Args:
            rows: preferences and verdicts.
            precision: what the model computes in, and on what: other numbers come of it.
        """
        unknown = []
        for row in rows:
            values = [self._known.get(name) for name in _branches(row, precision)]
            if None in values:
                unknown.append(row)
            else:
                row.reference = [value for value in values if value is not None]
        return unknown

    def keep(self, rows: Sequence[Row], *, precision: str) -> None:
        """Keep the references that the rows hold."""
        values = {
            name: value
            for row in rows
            for name, value in zip(_branches(row, precision), row.reference, strict=True)
        }
        self._keep(values, changed=not values.keys() <= self._known.keys())

    def _keep(self, values: dict[str, float], *, changed: bool) -> None:
        for name, value in values.items():
            self._known.pop(name, None)  # what was used goes to the end
            if math.isfinite(value):
                self._known[name] = value
        if not changed:
            return
        kept = dict(list(self._known.items())[-self._most :])
        staging = self._path.with_suffix(".part")
        # A full disk is found out, and told, by what has to be written.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            staging.write_text(json.dumps(kept))
            os.replace(staging, self._path)
            files = sorted(self._path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
            for old in files[:-KEPT_FILES]:
                old.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, float]:
    """What a file holds; nothing where it is missing, torn, or holds anything else than numbers."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not all(
        isinstance(value, float) and math.isfinite(value) for value in known.values()
    ):
        return {}
    return known


def _branches(row: Row, precision: str) -> list[str]:
    return [_name(f"{precision} {row.prompt} {branch}") for branch in row.branches]


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
