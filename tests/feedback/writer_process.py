"""A process that writes until it is killed, or counts. Run by tests: URL, what, and its arguments.

`acknowledge` is the product's own intake; `careless` and `hasty` are it with one rule broken, so that
a test can show that it would see the loss.
"""

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlmodel import Session, col, select

from feedback.intake import Intake, Item, Result, Taken, apply
from feedback.settings import FeedbackSettings
from feedback.store import Store
from trainer.models import Lease

COUNTER = "counter"
CHECKPOINT_PAGES = 500
COMMAND = (sys.executable, "-m", "tests.feedback.writer_process")


def environment() -> dict[str, str]:
    """The environment for `COMMAND`, which is started in a folder of the test's own."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


class Hasty(Intake):
    """Answers before the commit, which waits until the answers are out, however busy the machine."""

    _open_session: Session | None = None
    _leaving = ExitStack()
    _unheard = 0

    def __init__(self, store: Store, settings: FeedbackSettings) -> None:
        super().__init__(store, settings)
        self.heard = threading.Semaphore(0)

    def _next(self) -> Any:
        if self._open_session is not None:
            for _ in range(self._unheard):
                self.heard.acquire()
            self._open_session.commit()
            self._leaving.close()
        return super()._next()

    def _write(self, items: Sequence[Item], *, again: bool = False) -> Sequence[Result]:
        self._unheard = len(items)
        self._open_session = self._leaving.enter_context(self._store.session(write=True))
        return apply(self._open_session, items, self._settings)


def careless(store: Store, completion_id: str, run: str) -> None:
    """Say so of what was handed to the operating system without a sync."""
    _always(store, "synchronous=NORMAL")
    acknowledge(store, completion_id, run)


def hasty(store: Store, completion_id: str, run: str) -> None:
    """Say so of what is not committed yet."""
    acknowledge(store, completion_id, run, Hasty)


def _always(store: Store, pragma: str) -> None:
    """Set what the store would set otherwise, on each of its connections to come."""
    event.listen(store.engine, "connect", lambda made, _: made.execute(f"PRAGMA {pragma}"))


def acknowledge(store: Store, completion_id: str, run: str, kind: type[Intake] = Intake) -> None:
    """Say on stdout which event ids are on the disk, for ever; with checkpoints, though it be short."""
    if store.is_sqlite:
        _always(store, f"wal_autocheckpoint={CHECKPOINT_PAGES}")
    from tests import builders  # not needed, and slow to load, for counting

    intake = kind(store, store.settings)
    intake.start()
    speaking = threading.Lock()

    def said(event_id: str) -> None:
        with speaking:
            sys.stdout.write(f"{event_id}\n")
            sys.stdout.flush()
        if isinstance(intake, Hasty):
            intake.heard.release()

    def speak(name: str) -> None:
        number = 0
        while True:
            number += 1
            event_id = f"{name}-{number}"
            future: Future[Taken] = intake.submit(
                builders.told(name, completion_id=completion_id, event_id=event_id)
            )
            future.result()
            said(event_id)

    for each in range(4):
        threading.Thread(target=speak, args=(f"{run}-w{each}",), daemon=True).start()
    threading.Event().wait()


def add_up(store: Store, times: int) -> None:
    """Read a number and write the next one, again and again."""
    for _ in range(times):
        with store.session(write=True) as session:
            row = counter(session)
            row.fence += 1
            session.add(row)
            session.commit()


def counter(session: Session) -> Lease:
    """The row that counts, locked where the database locks rows."""
    return session.exec(select(Lease).where(col(Lease.name) == COUNTER).with_for_update()).one()


if __name__ == "__main__":
    url, what, *arguments = sys.argv[1:]
    opened = Store(FeedbackSettings(database_url=url))
    if what != "add":
        {"acknowledge": acknowledge, "careless": careless, "hasty": hasty}[what](opened, *arguments)
    else:
        add_up(opened, int(arguments[0]))
