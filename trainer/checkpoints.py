"""Where a round stood, on the disk: written whole or not at all, and checked before it is believed.

Knows no trainer: a checkpoint is named tensors and a JSON document, no pickle. Torch is imported
when one is written or read, so that whoever only clears them away (`leftovers`) needs none.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feedback.durable import sync

TENSORS, VALUES, MANIFEST, COMPLETE = (
    "tensors.safetensors",
    "values.json",
    "manifest.json",
    "COMPLETE",
)
KEPT = 2
_STEP = "step-{:08d}"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class State:
    """What a checkpoint holds.

    Attributes:
        step: the optimizer step after which it was taken.
        tensors: by name; of any shape and type, on the CPU when read.
        values: what JSON can say.
    """

    step: int
    tensors: Mapping[str, Any]
    values: dict[str, Any]


def folder(data_dir: Path, round_id: str) -> Path:
    """Return where a round's checkpoints lie while it is open.

    Within the folder that forgetting a person empties, so that no copy of weights outlives it.
    """
    return data_dir / "work" / f"{round_id}.checkpoints"


def write(place: Path, state: State, *, work: str) -> Path:
    """Write a checkpoint and drop all but the last two.

    Files are synced before the rename and the folder after it; a marker that holds the manifest's
    digest is written last.

    Args:
        place: the round's folder; made if need be.
        state: what to keep.
        work: names what is computed; one of other work is never read back.

    Raises:
        OSError, SafetensorError: it could not be written; what was there before still is.
    """
    from safetensors.torch import save_file

    place.mkdir(parents=True, exist_ok=True)
    name = _STEP.format(state.step)
    staging = place / f".{name}.{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        contiguous = {key: each.detach().cpu().contiguous() for key, each in state.tensors.items()}
        save_file(contiguous, staging / TENSORS)
        (staging / VALUES).write_text(json.dumps(state.values))
        files = {each: _sha256(staging / each) for each in (TENSORS, VALUES)}
        manifest = json.dumps({"step": state.step, "work": work, "files": files}).encode()
        (staging / MANIFEST).write_bytes(manifest)
        (staging / COMPLETE).write_text(hashlib.sha256(manifest).hexdigest())
        for each in (TENSORS, VALUES, MANIFEST, COMPLETE):
            sync(staging / each)
        sync(staging)
        final = place / name
        shutil.rmtree(final, ignore_errors=True)  # a torn one of the same step
        os.replace(staging, final)
        sync(place)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    for old in sorted(place.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest(place: Path, *, work: str) -> State | None:
    """Read the last checkpoint that is whole, untouched and of this work.

    One that is torn or was tampered with is passed over for the one before.

    Args:
        place: the round's folder; need not exist.
        work: as it was written.
    """
    for each in sorted(place.glob("step-*"), reverse=True):
        found = _read(each, work)
        if found is not None:
            return found
    return None


def _read(place: Path, work: str) -> State | None:
    from safetensors.torch import load

    try:
        content = (place / MANIFEST).read_bytes()
        if (place / COMPLETE).read_text() != hashlib.sha256(content).hexdigest():
            return None
        manifest = json.loads(content)
        if manifest["work"] != work or set(manifest["files"]) != {TENSORS, VALUES}:
            return None
        # What is parsed are the bytes that were checked, not the file once more.
        parts = {name: (place / name).read_bytes() for name in (TENSORS, VALUES)}
        if any(
            hashlib.sha256(part).hexdigest() != manifest["files"][name]
            for name, part in parts.items()
        ):
            return None
        return State(manifest["step"], load(parts[TENSORS]), json.loads(parts[VALUES]))
    except (OSError, ValueError, KeyError):
        return None


def _sha256(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            whole.update(block)
    return whole.hexdigest()
