"""A power cut at any moment: of files and of names, only what was fsynced is there afterwards.

`kill -9` proves nothing about that, since the kernel keeps what a dead process wrote.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heed_client.disk_queue import PARCEL_BYTES, DiskQueue


class Disk:
    """What a disk would hold after a power cut, by what was fsynced."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.contents: dict[int, bytes] = {}
        self.names: dict[Path, dict[str, int]] = {}

    def synced(self, door: int) -> None:
        """Remember what this fsync made safe."""
        path = Path(os.readlink(f"/proc/self/fd/{door}"))
        if path.is_dir():
            self.names[path] = {each.name: each.stat().st_ino for each in path.iterdir()}
        else:
            self.contents[path.stat().st_ino] = path.read_bytes()

    def lines(self, folder: Path) -> set[bytes]:
        """The lines that survive in a folder, whose own name has to survive, too."""
        for inner, outer in zip((folder, *folder.parents), folder.parents, strict=False):
            if outer == self.top.parent:
                break
            if inner.name not in self.names.get(outer, {}):
                return set()
        found: set[bytes] = set()
        for name, inode in self.names.get(folder, {}).items():
            if name.endswith(".ndjson"):
                *lines, _ = self.contents.get(inode, b"").split(b"\n")
                found.update(lines)
        return found

    def lines_by_the_names_now(self, folder: Path) -> set[bytes]:
        """The same, where what was renamed and removed since has reached the disk by itself."""
        found: set[bytes] = set()
        for path in folder.glob("*.ndjson"):
            *lines, _ = self.contents.get(path.stat().st_ino, b"").split(b"\n")
            found.update(lines)
        return found


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    fsync: Callable[[int], None] = os.fsync

    def watched(door: int) -> None:
        fsync(door)
        disk.synced(door)

    monkeypatch.setattr(os, "fsync", watched)
    yield disk


def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = DiskQueue(disk.top / "state" / "queue", max_bytes=PARCEL_BYTES * 8)
    owed: set[bytes] = set()
    cuts = 0

    def cut() -> None:
        nonlocal cuts
        cuts += 1
        assert owed - disk.lines(queue.folder) == set()
        assert owed - disk.lines_by_the_names_now(queue.folder) == set()

    def around(name: str) -> None:
        real = getattr(os, name)

        def watched(*args: object, **kwargs: object) -> object:
            cut()
            result = real(*args, **kwargs)
            cut()
            return result

        monkeypatch.setattr(os, name, watched)

    for name in ("rename", "unlink", "ftruncate", "write"):
        around(name)
    for number in range(40):
        line = b"%d-" % number + b"x" * (PARCEL_BYTES // 8)
        queue.append([line])
        owed.add(line)
        cut()
        if number % 10 == 9:
            parcel = queue.take(queue.seal())
            assert parcel is not None
            taken, *again = parcel.lines
            refused = again.pop()
            owed.discard(taken)  # the server has it
            queue.settle(parcel, again=again, refused=[refused])
            cut()
    assert cuts > 100
    assert len(owed) == 36
