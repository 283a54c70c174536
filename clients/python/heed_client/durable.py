"""Writing so that it is on the disk when the call returns. Knows nothing of what is written."""

import os
import sys
from pathlib import Path

if sys.platform == "darwin":
    import fcntl


def append(path: Path, content: bytes) -> None:
    """Append whole lines to a file and return once they are on the disk.

    A line without its end, left by a process that died while it wrote, was never acknowledged and
    is cut off first. What a full disk took of `content` is cut off again.

    Raises:
        OSError: the disk did not take it; the file is as before.
    """
    is_new = not path.exists()
    door = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        before = _cut_after_last_line(door)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(door, rest) :]
            _sync(door)
        except BaseException:
            os.ftruncate(door, before)
            raise
    finally:
        os.close(door)
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder are on the disk: a new file is not found without."""
    door = os.open(folder, os.O_RDONLY)
    try:
        _sync(door)
    finally:
        os.close(door)


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that have their end, without those that are blank."""
    *lines, _ = path.read_bytes().split(b"\n")
    return [line for line in lines if line.strip()]


def _cut_after_last_line(door: int, *, step: int = 4096) -> int:
    """Cut a torn last line off; returns the size that is left."""
    size = end = os.fstat(door).st_size
    while end:
        start = max(0, end - step)
        found = os.pread(door, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(door, end)
    return end


def _sync(door: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(door, fcntl.F_FULLFSYNC)  # fsync there leaves it in the drive's own memory
    else:
        os.fsync(door)
