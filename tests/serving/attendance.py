"""What stands in for a round's process: one that ends it as a test wants, and one that holds it."""

from pathlib import Path
from typing import ClassVar

import pytest

from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving.commands import round_run
from tests.serving.command_line import COUNTS, REPORT
from trainer import lease
from trainer import round as rounds
from trainer.models import Round


def quick(patch: pytest.MonkeyPatch) -> None:
    """Let commands look at once."""
    patch.setattr(round_run, "TAKE_UP_SECONDS", 0.05)
    patch.setattr(round_run, "WATCH_SECONDS", 0.02)


def held(store: Store, row: Round, *, seconds: float = 60) -> lease.Held:
    """A process runs this round; one that held it for no time has died since."""
    with store.session(write=True) as session:
        taken = lease.acquire(store, session, "round", holder="another", seconds=seconds)
        assert taken is not None
        found = rounds.get(session, row.id)
        found.attempts += 1
        session.add(found)
        session.commit()
    return taken


class Executor:
    """Ends a round in the state that the test wants, or dies before it began."""

    state: str | None = "promoted"
    started: ClassVar[list[str]] = []
    pid: int | None = None
    log = Path("rounds.log")
    killed = False

    def __init__(self, settings: FeedbackSettings) -> None:
        self._settings = settings

    def start(self, round_id: str) -> None:
        self.started.append(round_id)
        if self.state is None:
            return
        store = Store(self._settings)
        with store.session(write=True) as session:
            row = rounds.get(session, round_id)
            row.attempts += 1
            row.report, row.counts = REPORT, COUNTS
            rounds.close(session, row, self.state, f"It was {self.state}.")
            session.commit()
        store.close()

    def running(self) -> bool:
        return False

    def wait(self, timeout_seconds: float | None = None) -> int:
        return 0

    def stop(self) -> None:
        pass


def stand_in(patch: pytest.MonkeyPatch) -> type[Executor]:
    """Put the executor into the commands' place."""
    patch.setattr(round_run, "LocalExecutor", Executor)
    patch.setattr(Executor, "state", "promoted")
    patch.setattr(Executor, "started", [])
    return Executor
