"""Opens a round and sees it to its end, in a server's hands or in its own. Knows no flag.

A server that schedules takes an open round up by itself; where none does, the round's process is
started from here. The lease decides, so nothing is lost where both try.
"""

import time
from types import TracebackType
from typing import Protocol, Self

from sqlmodel import Session

from feedback.store import Store
from serving.auth import audit
from serving.commands import output
from serving.settings import Settings
from trainer import checkpoints, lease
from trainer import round as rounds
from trainer.executors.local import LocalExecutor
from trainer.models import Round

TAKE_UP_SECONDS = 2.0
"""A server has this long to take the round up; also how often a dead process is looked for."""
WATCH_SECONDS = 0.2
END_SECONDS = 10.0


class Display(Protocol):
    """Shows where a round stands."""

    def show(self, row: Round) -> None:
        """Show it."""


def run(
    settings: Settings, store: Store, *, start_from: str | None = None, quiet: bool = False
) -> Round:
    """Run a round now and return it, ended.

    Ctrl-C cancels a round that runs from here; one that a server runs goes on. Training starts from
    the adapter `start_from`, where one is named, and not as the settings say.

    Raises:
        Conflict: one is open already, or there is nothing to learn from.
    """
    plan = settings.trainer
    if start_from is not None:
        plan = plan.model_copy(update={"start_from": start_from})
    with store.session(write=True) as session:
        opened = rounds.open(session, settings.feedback, plan, trigger="by hand (command line)")
        audit(session, actor="cli", action="round.start", subject=opened.id)
        session.commit()
    return attend(settings, store, opened.id, quiet=quiet)


def attend(settings: Settings, store: Store, round_id: str, *, quiet: bool = False) -> Round:
    """See an open round to its end, and return it.

    Ctrl-C cancels it where it runs from here; one that a server runs goes on.
    """
    attendant = _Attendant(settings, store, round_id)
    try:
        if quiet:
            return attendant.watch(_Silence())
        with _Bar() as bar:
            return attendant.watch(bar)
    except KeyboardInterrupt:
        return attendant.interrupted()


class _Attendant:
    """Sees to one open round until it has ended."""

    def __init__(self, settings: Settings, store: Store, round_id: str) -> None:
        self._settings = settings
        self._store = store
        self._round_id = round_id
        self._executor = LocalExecutor(settings.feedback)
        self._starts = 0

    def watch(self, display: Display) -> Round:
        look_at = time.monotonic() + TAKE_UP_SECONDS
        while (row := self._read()).state == "open":
            display.show(row)
            if time.monotonic() >= look_at:
                self._see_to(row)
                look_at = time.monotonic() + TAKE_UP_SECONDS
            time.sleep(WATCH_SECONDS)
        display.show(row)
        self._executor.wait(END_SECONDS)
        return row

    def interrupted(self) -> Round:
        ours = self._starts > 0
        self._executor.stop()
        if not ours:
            row = self._read()
            if row.attempts:
                output.say(
                    f"A server goes on with round {row.id}; `heed round cancel {row.id}` ends it."
                )
                return row
        with self._store.session(write=True) as session:
            row = rounds.get(session, self._round_id)
            if row.state == "open":
                self._forget_ours(session)
                if lease.is_free(self._store, session, "round"):
                    rounds.close(session, row, "cancelled", "Cancelled by hand.")
                else:
                    rounds.cancel(session, row.id)
            session.commit()
            self._discard(row)
        return row

    def _see_to(self, row: Round) -> None:
        """Start the round's process where no process has the round."""
        if self._executor.running():
            return
        with self._store.session(write=True) as session:
            row = rounds.get(session, self._round_id)
            self._forget_ours(session)
            free = row.state == "open" and lease.is_free(self._store, session, "round")
            tries = max(row.attempts, self._starts)
            if free and row.cancel_requested:
                rounds.close(session, row, "cancelled", "Cancelled by hand.")
            elif free and tries >= self._settings.trainer.max_attempts:
                rounds.close(
                    session,
                    row,
                    "failed",
                    f"Its process died {tries} times; {self._executor.log} says more.",
                )
            session.commit()
            self._discard(row)
        if free and row.state == "open":
            self._executor.start(self._round_id)
            self._starts += 1

    def _discard(self, row: Round) -> None:
        if row.state != "open":
            checkpoints.discard(self._settings.feedback.data_dir, row.id)

    def _forget_ours(self, session: Session) -> None:
        if self._executor.pid is not None:
            lease.expire(self._store, session, "round", pid=self._executor.pid)

    def _read(self) -> Round:
        with self._store.session() as session:
            return rounds.get(session, self._round_id)


class _Silence:
    def show(self, row: Round) -> None:
        pass


class _Bar:
    """A bar on a terminal; elsewhere a line per stage."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        self._screen = output.screen(err=True)
        told = TextColumn("{task.fields[told]}", markup=False)
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Elapsed())
        self._progress = Progress(
            *columns, told, console=self._screen, disable=not self._screen.is_terminal
        )
        self._task = self._progress.add_task("queued", total=1.0, told="")
        self._stage = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, row: Round) -> None:
        self._progress.update(
            self._task,
            completed=row.progress,
            description=row.stage,
            told=row.message if row.state == "open" else "",
        )
        if not self._screen.is_terminal and row.state == "open" and row.stage != self._stage:
            self._screen.print(f"{row.stage}: {row.message}")
        self._stage = row.stage
