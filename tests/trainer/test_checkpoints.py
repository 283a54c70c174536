"""Checkpoints on the disk: whole, verified, two of them, and nobody else's."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from feedback import durable
from trainer import checkpoints
from trainer.checkpoints import COMPLETE, MANIFEST, TENSORS, VALUES, State


def state(step: int) -> State:
    return State(
        step,
        {
            "a": torch.full((3,), float(step)),
            "b": torch.arange(4, dtype=torch.uint8),
            "": torch.ones(()),
        },
        {"rate": 0.1 + step, "names": ["x"], "limit": float("inf")},
    )


def written(folder: Path, *steps: int) -> None:
    for step in steps:
        checkpoints.write(folder, state(step), work="this")


def latest_step(folder: Path) -> int | None:
    found = checkpoints.latest(folder, work="this")
    return found.step if found else None


def test_what_was_written_comes_back_bit_by_bit(tmp_path: Path) -> None:
    written(tmp_path, 3)
    found = checkpoints.latest(tmp_path, work="this")
    assert found is not None and (found.step, found.values) == (3, state(3).values)
    for name, tensor in state(3).tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    assert latest_step(tmp_path) is None
    assert latest_step(tmp_path / "nowhere") is None
    written(tmp_path, 8, 9, 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000009", "step-00000100"]
    assert latest_step(tmp_path) == 100


@pytest.mark.parametrize("name", [TENSORS, VALUES, MANIFEST, COMPLETE])
@pytest.mark.parametrize("harm", ["gone", "cut", "flipped", "empty"])
def test_one_that_is_torn_or_tampered_with_is_passed_over(
    tmp_path: Path, name: str, harm: str
) -> None:
    written(tmp_path, 1, 2)
    path = tmp_path / "step-00000002" / name
    content = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(content[:-1])
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert latest_step(tmp_path) == 1


def test_a_manifest_that_was_rewritten_does_not_pass(tmp_path: Path) -> None:
    """Who changes a file and its hash must change the marker as well; then it is theirs to answer."""
    written(tmp_path, 1, 2)
    manifest = tmp_path / "step-00000002" / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "step": 99}))
    assert latest_step(tmp_path) == 1


def test_that_of_other_work_is_not_taken_up(tmp_path: Path) -> None:
    written(tmp_path, 1)
    assert checkpoints.latest(tmp_path, work="other") is None


def test_a_step_that_was_torn_is_written_again(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    (tmp_path / "step-00000002" / COMPLETE).unlink()
    written(tmp_path, 2)
    assert latest_step(tmp_path) == 2


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, 1)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert latest_step(tmp_path) == 1


def test_everything_is_on_the_disk_before_it_can_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = durable.sync, os.replace

    def synced(path: Path) -> None:
        sync(path)
        done.append(path.name.split(".")[0] if path.name.startswith(".") else path.name)

    def replaced(source: Path, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(checkpoints, "sync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    place = tmp_path / "place"
    written(place, 1)
    assert done == [TENSORS, VALUES, MANIFEST, COMPLETE, "", "rename", "place"]
