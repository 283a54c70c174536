"""Taking things in: durable, idempotent, group-committed. Knows no HTTP and judges nothing.

One writer thread per process drains a bounded queue into one transaction at a time and answers
after the commit, so an acknowledgement means that the bytes are on the disk, and the price of that
(an fsync) is shared by everyone who was waiting.
"""

import asyncio
import logging
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, cast

from feedback.errors import Busy, HeedError, Unavailable
from feedback.ledger import Event, Kept, Taken, Told, apply
from feedback.models import Exchange
from feedback.settings import FeedbackSettings
from feedback.store import Store

__all__ = ["Event", "Intake", "Kept", "Taken", "Told", "apply"]

log = logging.getLogger("heed.intake")

BATCH = 512
"""Entries are added to a transaction until it has so many rows; one entry is never split."""
QUEUE = 20_000
"""Rows that may wait for the disk."""
GATHER_SECONDS = 0.02
"""A busy event loop hands over what it has taken in after this time at the latest."""
PACE_SECONDS = 0.005
"""While several come at once, transactions of theirs begin so far apart: each costs more than a
millisecond whatever is in it."""
QUIET_ROUNDS = 2
"""An event loop that has gone round so often without taking anything in has read all there is: what
it reads in one round it takes in during the next."""

Item = Exchange | Told
Result = Taken | HeedError | None


class _Entry(NamedTuple):
    """What one caller handed in, and how it is told: its one result, or all of them as a list."""

    items: Sequence[Item]
    future: "Future[Any] | asyncio.Future[Any]"
    single: bool


class Intake:
    """The writer of one process; `start` before use, `stop` drains what is queued."""

    def __init__(self, store: Store, settings: FeedbackSettings) -> None:
        self._store = store
        self._settings = settings
        self._queue: deque[_Entry] = deque()
        self._rows = 0
        self._due = False
        self._gathering: asyncio.AbstractEventLoop | None = None
        self._paced_until = 0.0
        self._thread = threading.Thread(target=self._run, name="heed-intake", daemon=True)
        self._open = False
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start the writer."""
        self._open = True
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then stop; anything later is refused."""
        with self._changed:
            running, self._open = self._open, False
            self._changed.notify()
        if running:
            self._thread.join()

    def record(self, exchange: Exchange) -> "Future[None]":
        """Queue an exchange; the future resolves once it is on the disk.

        Raises (from the future):
            Unavailable, StorageFull: the database did not take it.
        """
        return self._future([exchange])

    def submit(self, told: Told) -> "Future[Taken]":
        """Queue a piece of feedback; the future resolves once it is on the disk.

        Raises:
            Invalid, TooLarge: a text cannot be kept; names the field.

        Raises (from the future):
            NotFound: no such completion.
            Conflict: the same event id was used for something else.
            Invalid: the completion has no such choice.
            Unavailable, StorageFull: the database did not take it.
        """
        told.submission.check_texts(self._settings)
        return self._future([told])

    async def take(self, told: Told) -> Taken:
        """Like `submit`, for callers on an event loop: many are told at the price of one."""
        told.submission.check_texts(self._settings)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Taken] = loop.create_future()
        self._enqueue(_Entry([told], future, single=True), due=False)
        if self._gathering is not loop:
            self._gathering = loop
            loop.call_soon(self._gather, loop, self._rows, 0, loop.time() + GATHER_SECONDS)
        return await future

    async def take_all(self, tolds: Sequence[Told]) -> list[Taken | HeedError]:
        """Take many in one transaction, in their order; returns a result each.

        Texts are not checked here: that takes its time for many, and is their sender's to do.

        Raises:
            Busy: too much waits for the disk.
            Unavailable, StorageFull: the database took none of it.
        """
        if not tolds:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Taken | HeedError]] = loop.create_future()
        self._enqueue(_Entry(tolds, future, single=False))
        results = await future
        if all(_is_outage(each) for each in results):
            raise cast(HeedError, results[0])
        return results

    def _future(self, items: Sequence[Item]) -> "Future[Any]":
        future: Future[Any] = Future()
        # A caller that goes away does not take back what it said, nor may its cancelled future
        # stop the writer; a running one cannot be cancelled.
        future.set_running_or_notify_cancel()
        self._enqueue(_Entry(items, future, single=True))
        return future

    def _gather(
        self, loop: asyncio.AbstractEventLoop, before: int, quiet: int, until: float
    ) -> None:
        """Hand over what a loop has taken in once it has nothing else to do.

        While the writer writes, the loop and it take Python's lock from each other at every step.
        So it begins when the loop rests, and then writes many at the price of one.
        """
        quiet = quiet + 1 if self._rows == before else 0
        if quiet < QUIET_ROUNDS and self._rows < BATCH and loop.time() < until:
            loop.call_soon(self._gather, loop, self._rows, quiet, until)
            return
        if self._rows < BATCH and (now := loop.time()) < self._paced_until:
            loop.call_at(self._paced_until, self._gather, loop, self._rows, QUIET_ROUNDS, now)
            return
        self._gathering = None
        self._paced_until = loop.time() + PACE_SECONDS if self._rows > 1 else 0.0
        with self._changed:
            self._due = bool(self._queue)  # else others' haste took it along
            self._changed.notify()

    def _enqueue(self, entry: _Entry, *, due: bool = True) -> None:
        with self._changed:
            if not self._open:
                raise Unavailable("Heed is stopping and takes nothing more in; try again shortly.")
            if self._rows >= QUEUE:
                raise Busy(f"{self._rows:,} writes are waiting for the disk; slow down.")
            self._rows += len(entry.items)
            self._queue.append(entry)
            if due and not self._due:
                self._due = True
                self._changed.notify()

    def _run(self) -> None:
        while batch := self._next():
            items = [item for entry in batch for item in entry.items]
            results = self._write(items)
            self._stored(items, results)
            answers, at = [], 0
            for entry in batch:
                answers.append((entry, results[at : at + len(entry.items)]))
                at += len(entry.items)
            _answer(answers)

    def _next(self) -> list[_Entry]:
        """Wait for entries; none once it is stopped and everything is written."""
        batch: list[_Entry] = []
        with self._changed:
            while self._open and not self._due:
                self._changed.wait()
            rows = 0
            while self._queue and rows < BATCH:
                batch.append(self._queue.popleft())
                rows += len(batch[-1].items)
            self._rows -= rows
            self._due = bool(self._queue)
        return batch

    def _write(self, items: Sequence[Item], *, again: bool = False) -> Sequence[Result]:
        try:
            with self._store.session(write=True) as session:
                results = apply(session, items, self._settings)
                session.commit()
            return results
        except HeedError as outage:
            return [outage] * len(items)
        except Exception as error:
            # One faulty item must not take its neighbours along. An item alone is tried again,
            # since another process may have stored the same event at the same moment.
            if len(items) > 1:
                half = len(items) // 2
                return [*self._write(items[:half]), *self._write(items[half:])]
            if not again:
                return self._write(items, again=True)
            # The database's own words name tables and quote values: the log says where it was.
            log.error("an entry could not be stored", exc_info=error)
            said = (
                "This could not be stored; Heed's log says more. Try again, or send something else."
            )
            return [Unavailable(said)]

    def _stored(self, items: Sequence[Item], results: Sequence[Result]) -> None:
        """Called after each transaction, before anybody is told; for whoever counts."""


def _answer(answers: Sequence[tuple[_Entry, Sequence[Result]]]) -> None:
    """Tell everybody; those on an event loop by one call to their loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Entry, Sequence[Result]]]]
    loops = defaultdict(list)
    for entry, results in answers:
        if isinstance(entry.future, Future):
            _settle(entry, results)
        else:
            loops[entry.future.get_loop()].append((entry, results))
    for loop, waiting in loops.items():
        try:
            loop.call_soon_threadsafe(_settle_all, waiting)
        except RuntimeError:  # it is closed, and whoever waited on it is gone
            log.debug("an answer came after its event loop had ended")


def _settle_all(answers: Sequence[tuple[_Entry, Sequence[Result]]]) -> None:
    for entry, results in answers:
        if not entry.future.done():  # else its caller went away
            _settle(entry, results)


def _settle(entry: _Entry, results: Sequence[Result]) -> None:
    if not entry.single:
        entry.future.set_result(results)
    elif isinstance(results[0], HeedError):
        entry.future.set_exception(results[0])
    else:
        entry.future.set_result(results[0])


def _is_outage(result: Result) -> bool:
    return isinstance(result, HeedError) and result.code in ("unavailable", "full")
