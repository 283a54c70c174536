"""A lock that holds between processes, and between the threads of one. Knows nothing of queues.

The kernel frees it when its holder dies. It stands on `flock(2)`, which POSIX systems have.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heed_client.errors import QueueFailed

if sys.platform != "win32":
    import fcntl


class FileLock:
    """An open lock file, held until `release`."""

    def __init__(self, door: int) -> None:
        self._door = door

    def release(self) -> None:
        """Let others have it.

        By an explicit unlock: a child that was forked meanwhile has a copy of the descriptor, and
        closing ours alone would leave the lock with it.
        """
        _flock(self._door, blocking=True, unlock=True)
        os.close(self._door)


def try_to_lock(path: Path) -> FileLock | None:
    """Return the lock, or None while somebody else holds it."""
    door = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _flock(door, blocking=False)
    except BlockingIOError:
        os.close(door)
        return None
    except BaseException:
        os.close(door)
        raise
    return FileLock(door)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for a block that does no more than touch the disk."""
    door = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _flock(door, blocking=True)
        try:
            yield
        finally:
            _flock(door, blocking=True, unlock=True)
    finally:
        os.close(door)


def _flock(door: int, *, blocking: bool, unlock: bool = False) -> None:
    if sys.platform == "win32":
        raise QueueFailed(
            "The queue on disk needs the file locks of a POSIX system, such as Linux or macOS. "
            "Here, send feedback at once: `heed.feedback(…)`."
        )
    else:
        fcntl.flock(door, fcntl.LOCK_UN if unlock else fcntl.LOCK_EX | _unless(blocking))


def _unless(blocking: bool) -> int:
    if sys.platform == "win32":
        return 0
    else:
        return 0 if blocking else fcntl.LOCK_NB
