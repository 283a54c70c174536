"""What would be left of a folder's files had the power gone at some moment.

`power_cut.c` writes down what a process does; `Disk` plays it back. Only synced bytes are sure to
survive, and a new file only once its folder was synced; of everything else any sector may.
"""

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

OPENED, WROTE, CUT_TO, SYNCED, SAID = range(1, 6)
_HEADER = struct.Struct("=4Q")
_SECTOR_BYTES = 512


@dataclass(frozen=True)
class Record:
    """One thing that the process did."""

    kind: int
    path: str
    offset: int
    content: bytes


def library(folder: Path) -> Path:
    """Compile what is loaded into the process; without a compiler the test is skipped."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler: install gcc or clang")
    built = folder / "power_cut.so"
    source = Path(__file__).with_name("power_cut.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl", "-lpthread"], check=True
    )
    return built


def environment(library: Path, folder: Path, log: Path) -> dict[str, str]:
    """What makes a process write down what it does to the files of a folder."""
    return {"LD_PRELOAD": str(library), "HEED_CUT_FOLDER": str(folder), "HEED_CUT_LOG": str(log)}


def records(log: Path) -> Iterator[Record]:
    """Read a log; the last record may be cut off, and then it never was."""
    content, at = log.read_bytes(), 0
    while at + _HEADER.size <= len(content):
        kind, name, offset, length = _HEADER.unpack_from(content, at)
        at += _HEADER.size
        if at + name + length > len(content):
            return
        path = content[at : at + name].decode()
        yield Record(kind, path, offset, content[at + name : at + name + length])
        at += name + length


@dataclass
class Disk:
    """The files of a folder, by path: what is safe, and what was done since."""

    folder: str
    safe: dict[str, bytes]
    pending: dict[str, list[Record]] = field(default_factory=dict)
    unnamed: set[str] = field(default_factory=set)
    """New files that their folder does not know for sure."""

    @staticmethod
    def of(folder: Path) -> "Disk":
        """The folder as it is, all of it safe."""
        files = {str(path): path.read_bytes() for path in folder.iterdir() if path.is_file()}
        return Disk(str(folder), files)

    def do(self, record: Record) -> None:
        """Play one record back."""
        if record.kind == OPENED:
            self.unnamed.add(record.path)
        elif record.kind in (WROTE, CUT_TO):
            self.pending.setdefault(record.path, []).append(record)
        elif record.kind == SYNCED and record.path == self.folder:
            self.unnamed.clear()
        elif record.kind == SYNCED:
            for done in self.pending.pop(record.path, []):
                self.safe[record.path] = _done(self.safe.get(record.path, b""), done)

    def left(self, luck: random.Random | None = None) -> dict[str, bytes]:
        """The files after a power cut now.

        Args:
            luck: decides which sectors survive that were not synced; none does without it.
        """
        files = {path: content for path, content in self.safe.items() if path not in self.unnamed}
        for path, done in self.pending.items() if luck else ():
            if path in self.unnamed and luck and luck.random() < 0.5:
                continue
            content = self.safe.get(path, b"")
            for record in done:
                for part in _sectors(record):
                    if luck and luck.random() < 0.5:
                        content = _done(content, part)
            files[path] = content
        return files


def put(files: dict[str, bytes], folder: Path) -> None:
    """Write files into an emptied folder, under their own names."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, content in files.items():
        (folder / os.path.basename(path)).write_bytes(content)


def _sectors(record: Record) -> Iterator[Record]:
    if record.kind == CUT_TO:
        yield record
        return
    for at in range(0, len(record.content), _SECTOR_BYTES):
        part = record.content[at : at + _SECTOR_BYTES]
        yield Record(WROTE, record.path, record.offset + at, part)


def _done(content: bytes, record: Record) -> bytes:
    if record.kind == CUT_TO:
        return content[: record.offset].ljust(record.offset, b"\0")
    filled = content.ljust(record.offset, b"\0")
    end = record.offset + len(record.content)
    return filled[: record.offset] + record.content + filled[end:]
