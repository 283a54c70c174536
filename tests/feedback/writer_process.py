"""A process that writes until it is killed, or counts. Run by tests: URL, what, and its arguments."""

import os
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

from sqlmodel import Session, col, select

from feedback.intake import Intake, Taken
from feedback.settings import FeedbackSettings
from feedback.store import Store
from trainer.models import Lease

COUNTER = "counter"
COMMAND = (sys.executable, "-m", "tests.feedback.writer_process")


def environment() -> dict[str, str]:
    """The environment for `COMMAND`, which is started in a folder of the test's own."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def acknowledge(store: Store, completion_id: str, run: str) -> None:
    """Say on stdout which event ids are on the disk, for ever."""
    from tests import builders  # not needed, and slow to load, for counting

    intake = Intake(store, store.settings)
    intake.start()
    speaking = threading.Lock()

    def said(event_id: str) -> None:
        with speaking:
            sys.stdout.write(f"{event_id}\n")
            sys.stdout.flush()

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
    if what == "acknowledge":
        acknowledge(opened, *arguments)
    else:
        add_up(opened, int(arguments[0]))
