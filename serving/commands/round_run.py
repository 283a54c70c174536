"""Opens a round and sees it to its end, in a server's hands or in its own. Knows no flag.

A server that schedules takes an open round up by itself; where none does, the round's process is
started from here. The lease decides, so nothing is lost where both try.
"""

import time
from types import TracebackType
from typing import Protocol, Self

from sqlmodel import Session

from feedback.errors import Conflict
from feedback.store import Store
from serving.auth import audit
from serving.commands import output
from serving.settings import Settings
from trainer import attending, faults, lease, leftovers
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
    """Run a round now and return it, ended; one that is open and that no process runs goes on.

    Ctrl-C cancels a round that runs from here; one that a server runs goes on. Training starts from
    the adapter `start_from`, where one is named, and not as the settings say.

    Raises:
        Conflict: one runs already, there is nothing to learn from, or `start_from` is named and
            another round is to go on first.
        StorageFull: the database cannot be written; names it, and the round.
    """
    plan = settings.trainer
    if start_from is not None:
        plan = plan.model_copy(update={"start_from": start_from})
    with faults.unrecorded(store):
        row = _left(settings, store, start_from=start_from, quiet=quiet)
        if row is None:
            with store.session(write=True) as session:
                row = rounds.open(
                    session, settings.feedback, plan, trigger="by hand (command line)"
                )
                audit(session, actor="cli", action="round.start", subject=row.id)
                session.commit()
    return attend(settings, store, row.id, quiet=quiet)


def attend(settings: Settings, store: Store, round_id: str, *, quiet: bool = False) -> Round:
    """See an open round to its end, and return it.

    Ctrl-C cancels it where it runs from here; one that a server runs goes on.
    """
    attendant = _Attendant(settings, store, round_id)
    with faults.unrecorded(store, round_id):
        try:
            if quiet:
                return attendant.watch(_Silence())
            with _Bar() as bar:
                return attendant.watch(bar)
        except KeyboardInterrupt:
            return attendant.interrupted()
        finally:
            leftovers.clear(store, round_id)


def _left(settings: Settings, store: Store, *, start_from: str | None, quiet: bool) -> Round | None:
    """The open round that no process runs, unless it was cancelled or died too often: then it ends."""
    with store.session(write=True) as session:
        row = attending.unattended(store, session)
        if row is None:
            return None
        again = attending.goes_on(
            store,
            session,
            row,
            starts=0,
            most_attempts=settings.trainer.max_attempts,
            log=LocalExecutor(settings.feedback).log,
        )
        if again and start_from is not None:
            raise Conflict(
                f"Round {row.id} is open, and no process runs it; --from is for a new one. "
                f"`heed round run` goes on with it, `heed round cancel {row.id}` ends it."
            )
        if again:
            audit(session, actor="cli", action="round.resume", subject=row.id)
        session.commit()
    leftovers.clear(store, row.id)
    if not quiet:
        what = "no process ran it; it goes on" if again else f"it is {row.state} now: {row.message}"
        output.say(f"Round {row.id} was open, and {what}.")
    return row if again else None


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
                self._see_to()
                look_at = time.monotonic() + TAKE_UP_SECONDS
            time.sleep(WATCH_SECONDS)
        display.show(row)
        self._executor.wait(END_SECONDS)
        return row

    def interrupted(self) -> Round:
        ours = self._starts > 0
        self._executor.stop()
        with self._store.session(write=True) as session:
            row = rounds.get(session, self._round_id)
            self._forget_ours(session)
            if not ours and not lease.is_free(self._store, session, "round"):
                output.say(
                    f"A server goes on with round {row.id}; `heed round cancel {row.id}` ends it."
                )
            elif row.state == "open" and lease.bar(self._store, session, "round"):
                rounds.close(session, row, "cancelled", "Cancelled by hand.")
            elif row.state == "open":
                rounds.cancel(self._store, session, row.id)
            session.commit()
        return row

    def _see_to(self) -> None:
        """Start the round's process where no process has the round."""
        if self._executor.running():
            return
        with self._store.session(write=True) as session:
            self._forget_ours(session)
            again = attending.goes_on(
                self._store,
                session,
                rounds.get(session, self._round_id),
                starts=self._starts,
                most_attempts=self._settings.trainer.max_attempts,
                log=self._executor.log,
                killed=self._executor.killed,
            )
            session.commit()
        if again:
            self._executor.start(self._round_id)
            self._starts += 1

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
