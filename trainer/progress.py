"""A running round's hold on its row: the lease, the heartbeat, and the lines people watch.

Knows nothing of what the round does.
"""

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sqlmodel import Session

from feedback.errors import Conflict, HeedError, NotFound
from feedback.store import Store
from trainer import lease
from trainer.models import Round, RoundEvent

LEASE_SECONDS = 20.0
HEARTBEAT_SECONDS = 2.0
EVENT_SECONDS = 0.25
"""Progress within a stage is written at most this often."""

STAGES = {
    "claim": 0.02,
    "examples": 0.05,
    "train": 0.65,
    "evaluate": 0.93,
    "judge": 0.95,
    "apply": 1.0,
}
"""Each stage with the share of the round that is done when it ends, as the starter spends it."""


class Cancelled(HeedError):
    """Somebody asked for the round to stop."""


class Running:
    """Holds a round's lease while it runs, and reports where it stands.

    Used as a context manager. `stopping` is true once the round should end: cancelled by a
    person, or taken over by another process after this one was asleep.
    """

    def __init__(self, store: Store, round_id: str) -> None:
        self._store = store
        self.round_id = round_id
        self._held: lease.Held | None = None
        self._ended = threading.Event()
        self._stopping: HeedError | None = None
        self._last_event_seconds = 0.0
        self._stage = "claim"
        self._thread = threading.Thread(target=self._beat, name="heed-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        holder = lease.holder_name(os.getpid())
        with self._store.session(write=True) as session:
            row = session.get(Round, self.round_id)
            if row is None:
                raise NotFound(f"There is no round {self.round_id!r}.")
            if row.state != "open":
                raise Conflict(f"Round {self.round_id} has ended already ({row.state}).")
            self._held = lease.acquire(
                self._store, session, "round", holder=holder, seconds=LEASE_SECONDS
            )
            if self._held is None:
                raise Conflict("Another process runs a round of this project now.")
            row.attempts += 1
            row.started_at = row.started_at or time.time()
            session.add(row)
            session.commit()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        if isinstance(self._stopping, Conflict):
            return  # the lease is somebody else's now
        with self._store.session(write=True) as session:
            lease.release(self._store, session, self._require())
            session.commit()

    @property
    def stopping(self) -> HeedError | None:
        """Why the round should end, or None while it should go on."""
        return self._stopping

    def guard(self, session: Session) -> None:
        """Check the fence inside the caller's transaction, before anything that matters is written.

        Raises:
            Conflict: the round was taken over.
        """
        lease.check(session, self._require())

    def note(self, **columns: Any) -> None:
        """Write columns of the round's row, behind the fence.

        Raises:
            Conflict: the round was taken over.
        """
        with self._store.session(write=True) as session:
            self.guard(session)
            row = session.get_one(Round, self.round_id)
            for name, value in columns.items():
                setattr(row, name, value)
            session.add(row)
            session.commit()

    def stage(self, name: str, message: str, **data: Any) -> None:
        """Enter a stage.

        Raises:
            Cancelled, Conflict: the round should not go on.
        """
        self._stage = name
        self._write(name, 0.0, message, data)

    def advance(self, share: float, message: str, **data: Any) -> None:
        """Report progress within the stage, `share` between 0 and 1; written at most 4 times a second.

        Raises:
            Cancelled, Conflict: the round should not go on.
        """
        if self._stopping is not None:
            raise self._stopping
        if time.monotonic() - self._last_event_seconds >= EVENT_SECONDS or share >= 1:
            self._write(self._stage, share, message, data)

    def reporter(self, message: str) -> Callable[[int, int], None]:
        """Return a callback for work that counts: done, total."""
        return lambda done, total: self.advance(done / max(total, 1), f"{message} {done}/{total}")

    def _write(self, stage: str, share: float, message: str, data: dict[str, Any]) -> None:
        if self._stopping is not None:
            raise self._stopping
        names = list(STAGES)
        index = names.index(stage)
        start = STAGES[names[index - 1]] if index else 0.0
        progress = start + (STAGES[stage] - start) * min(share, 1.0)
        with self._store.session(write=True) as session:
            self.guard(session)
            row = session.get_one(Round, self.round_id)
            row.stage, row.progress, row.message = stage, progress, message
            session.add(row)
            session.add(
                RoundEvent(
                    round_id=self.round_id,
                    stage=stage,
                    progress=progress,
                    message=message,
                    data=data,
                    at=time.time(),
                )
            )
            session.commit()
        self._last_event_seconds = time.monotonic()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                with self._store.session(write=True) as session:
                    lease.renew(self._store, session, self._require(), seconds=LEASE_SECONDS)
                    row = session.get_one(Round, self.round_id)
                    session.commit()
                    if row.cancel_requested:
                        self._stopping = Cancelled("Cancelled by hand.")
                        return
            except Conflict as taken:
                self._stopping = taken
                return
            except HeedError:
                continue  # the database is away for a moment; the lease decides in the end

    def _require(self) -> lease.Held:
        if self._held is None:
            raise Conflict(f"Round {self.round_id} is not held by this process.")
        return self._held
