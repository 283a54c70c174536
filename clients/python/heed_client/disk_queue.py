"""The queue on disk: what was enqueued stays until the server has it, or has refused it for good.

Knows lines, not what is in them, and no server. In its folder lie

- `incoming.ndjson`, which lines are appended to and fsynced;
- `outgoing-N.ndjson`, sealed, the lowest number next to be delivered, and removed when settled;
- `refused.ndjson`, what the server will never take, with its reason;
- `lock`, held for every change, and `delivering.lock`, held by the one process that delivers.

Nothing remembers how far a parcel was delivered: after a crash the whole parcel goes out again,
and the event ids in it make that the same events.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from heed_client import durable
from heed_client.errors import HeedError, QueueFailed, QueueFull
from heed_client.file_lock import FileLock, locked, try_to_lock

PARCEL_BYTES = 1024 * 1024
"""A fuller incoming file is sealed: what a crash makes go out twice is about this much."""
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Parcel:
    """Lines that are delivered together."""

    number: int
    lines: Sequence[bytes]


@dataclass
class _Entry:
    """Lines that a thread waits for."""

    content: bytes
    written: bool = False
    fault: HeedError | None = field(default=None)


def _told(work: Callable[P, T]) -> Callable[P, T]:
    """Say in the client's own words what the disk did not do."""

    @wraps(work)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except OSError as error:
            raise QueueFailed(
                f"The disk under the queue failed: {error}. What was being enqueued was not taken; "
                "what was enqueued before stays."
            ) from error

    return telling


class DiskQueue:
    """A queue in a folder, which several threads and processes may share.

    Args:
        folder: made where it is not there, readable by its owner alone.
        max_bytes: what it may hold, refused lines included.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._incoming = folder / "incoming.ndjson"
        self._refused = folder / "refused.ndjson"
        self._entries: deque[_Entry] = deque()
        self._writing = threading.Lock()

    def append(self, lines: Sequence[bytes]) -> None:
        """Return once the lines are on the disk; threads that come together share one fsync.

        Raises:
            QueueFull: they do not fit any more; none of them was taken.
            QueueFailed: the disk did not take them; none of them was taken.
        """
        entry = _Entry(_joined(lines))
        self._entries.append(entry)
        with self._writing:
            if not entry.written:
                self._write_together()
        if entry.fault is not None:
            raise entry.fault

    def is_there(self) -> bool:
        """Whether something may wait; cheap, takes no lock and makes no folder."""
        return any(self.folder.glob("incoming.ndjson")) or any(self.folder.glob("outgoing-*"))

    @_told
    def seal(self) -> int:
        """Seal what has come in so far; returns the highest number there is, 0 for none."""
        with self._changing():
            if self._size(self._incoming):
                self._seal()
            return max(self._outgoing(), default=0)

    @_told
    def take(self, highest: int) -> Parcel | None:
        """Return the oldest sealed parcel up to a number; it stays until it is settled."""
        with self._changing():
            number = min(self._outgoing(), default=highest + 1)
            if number > highest:
                return None
            return Parcel(number, durable.whole_lines(self._parcel(number)))

    @_told
    def settle(self, parcel: Parcel, *, again: Sequence[bytes], refused: Sequence[bytes]) -> None:
        """Let a parcel go, once what is left of it is safe elsewhere.

        Args:
            parcel: that was taken.
            again: its lines that are to be delivered later; they queue up at the end.
            refused: what to keep of those that the server will never take.
        """
        with self._changing():
            if refused:
                durable.append(self._refused, _joined(refused))
            if again:
                durable.append(self._incoming, _joined(again))
            self._parcel(parcel.number).unlink(missing_ok=True)

    @_told
    def waiting(self) -> int:
        """Return the number of lines that are yet to be delivered."""
        if not self.folder.is_dir():
            return 0
        with self._changing():
            paths = [self._incoming, *(self._parcel(number) for number in self._outgoing())]
            return sum(len(durable.whole_lines(path)) for path in paths if path.exists())

    @_told
    def refused(self) -> list[bytes]:
        """Return the lines of what was refused."""
        if not self.folder.is_dir():
            return []
        with self._changing():
            return durable.whole_lines(self._refused) if self._refused.exists() else []

    @_told
    def readmit(self, line_of: Callable[[bytes], bytes]) -> int:
        """Queue what was refused once more; returns how many lines.

        Args:
            line_of: gives the line that was sent, from the one that was kept of it.
        """
        if not self.folder.is_dir():
            return 0
        with self._changing():
            lines = durable.whole_lines(self._refused) if self._refused.exists() else []
            if lines:
                durable.append(self._incoming, _joined([line_of(line) for line in lines]))
                self._refused.unlink()
            return len(lines)

    @_told
    def try_to_deliver(self) -> FileLock | None:
        """Return the right to deliver, or None while another has it."""
        self._make_folder()
        return try_to_lock(self.folder / "delivering.lock")

    def _write_together(self) -> None:
        """Write what all threads brought; each finds its own fault in its entry."""
        together = [self._entries.popleft() for _ in range(len(self._entries))]
        fault: HeedError | None = QueueFailed("The write was interrupted; nothing was taken.")
        try:
            self._write(together)
            fault = None
        except HeedError as failed:
            fault = failed
        finally:
            # Also where an interrupt ends this thread: the others must not take it for success.
            for each in together:
                each.written, each.fault = True, each.fault or fault

    @_told
    def _write(self, entries: Sequence[_Entry]) -> None:
        with self._changing():
            room = self.max_bytes - self._held()
            fitting = []
            for entry in entries:
                if len(entry.content) > room:
                    entry.fault = self._full()
                else:
                    room -= len(entry.content)
                    fitting.append(entry.content)
            if not fitting:
                return
            if self._size(self._incoming) >= PARCEL_BYTES:
                self._seal()
            durable.append(self._incoming, b"".join(fitting))

    def _full(self) -> QueueFull:
        kept = self._size(self._refused)
        why = f", {kept:,} of them refused by the server (see {self._refused.name})" if kept else ""
        return QueueFull(
            f"The queue in {self.folder} may hold {self.max_bytes:,} bytes{why}; this does not fit "
            "any more. Let it be delivered, or allow more with `queue_max_bytes`."
        )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._make_folder()
        with locked(self.folder / "lock"):
            yield

    def _make_folder(self) -> None:
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in missing:
                durable.sync_folder(path.parent)

    def _seal(self) -> None:
        os.rename(self._incoming, self._parcel(max(self._outgoing(), default=0) + 1))

    def _held(self) -> int:
        paths = [self._incoming, self._refused, *map(self._parcel, self._outgoing())]
        return sum(map(self._size, paths))

    def _outgoing(self) -> list[int]:
        names = (path.stem.partition("-")[2] for path in self.folder.glob("outgoing-*.ndjson"))
        return [int(name) for name in names if name.isdecimal()]

    def _parcel(self, number: int) -> Path:
        return self.folder / f"outgoing-{number:012}.ndjson"

    @staticmethod
    def _size(path: Path) -> int:
        return path.stat().st_size if path.exists() else 0


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
