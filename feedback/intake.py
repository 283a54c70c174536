"""Taking things in: durable, idempotent, group-committed. Knows no HTTP and judges nothing.

One writer thread per process drains a bounded queue into one transaction at a time and resolves
the callers' futures after the commit, so an acknowledgement means that the bytes are on the disk,
and the price of that (an fsync) is shared by everyone who was waiting.
"""

import logging
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from feedback import privacy, trust
from feedback.errors import Busy, Conflict, HeedError, Invalid, NotFound, Unavailable
from feedback.ids import new_id
from feedback.models import Exchange, Feedback, Person, Receipt
from feedback.settings import PROJECT, FeedbackSettings
from feedback.store import Store
from feedback.submission import Submission

log = logging.getLogger("heed.intake")

BATCH = 512
QUEUE = 20_000


@dataclass(frozen=True)
class Told:
    """A submission with who sent it and when: what the writer needs to know of the caller."""

    submission: Submission
    person_id: str
    people_key_id: str
    key_id: str | None = None
    # Not the time of writing: a batch is written at one moment, and the order of votes counts.
    arrived_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Taken:
    """The answer to a submission: its receipt, and whether it had been taken before."""

    receipt: Receipt
    completion_id: str | None
    repeated: bool


class Intake:
    """The writer of one process; `start` before use, `stop` drains what is queued."""

    def __init__(self, store: Store, settings: FeedbackSettings) -> None:
        self._store = store
        self._settings = settings
        self._queue: queue.Queue[tuple[Exchange | Told, Future[Any]] | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._run, name="heed-intake", daemon=True)
        self._open = False
        self._opening = threading.Lock()

    def start(self) -> None:
        """Start the writer."""
        self._open = True
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then stop; anything later is refused."""
        with self._opening:
            running, self._open = self._open, False
        if running:
            self._queue.put(None)
            self._thread.join()

    def record(self, exchange: Exchange) -> "Future[None]":
        """Queue an exchange; the future resolves once it is on the disk.

        Raises (from the future):
            Unavailable: the database did not take it.
        """
        return self._enqueue(exchange)

    def submit(self, told: Told) -> "Future[Taken]":
        """Queue a piece of feedback; the future resolves once it is on the disk.

        Raises:
            Invalid, TooLarge: a text cannot be kept; names the field.

        Raises (from the future):
            NotFound: no such completion.
            Conflict: the same event id was used for something else.
            Invalid: the completion has no such choice.
            Unavailable: the database did not take it.
        """
        told.submission.check_texts(self._settings)
        return self._enqueue(told)

    def _enqueue(self, item: Exchange | Told) -> "Future[Any]":
        future: Future[Any] = Future()
        # A caller that goes away does not take back what it said, nor may its cancelled future
        # stop the writer; a running one cannot be cancelled.
        future.set_running_or_notify_cancel()
        with self._opening:  # so that nothing is queued behind the mark that ends the writer
            if not self._open:
                raise Unavailable("Heed is stopping and takes nothing more in; try again shortly.")
            try:
                self._queue.put_nowait((item, future))
            except queue.Full:
                raise Busy(f"{QUEUE:,} writes are waiting for the disk; slow down.") from None
        return future

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            stopping = batch[-1] is None  # the mark is the last that is ever queued
            self._write([entry for entry in batch if entry is not None])

    def _write(
        self, batch: Sequence[tuple[Exchange | Told, "Future[Any]"]], *, last: bool = False
    ) -> None:
        try:
            with self._store.session(write=True) as session:
                results = apply(session, [item for item, _ in batch], self._settings)
                session.commit()
        except Unavailable as outage:
            for _, future in batch:
                future.set_exception(outage)
            return
        except Exception as error:
            # One faulty entry must not take its neighbours along. An entry alone is tried again,
            # since another process may have stored the same event at the same moment.
            if not last:
                for entry in batch:
                    self._write([entry], last=len(batch) == 1)
            else:
                # The database's own words name tables and quote values: the log says where it was.
                log.error("an entry could not be stored", exc_info=error)
                batch[0][1].set_exception(
                    Unavailable(
                        "This could not be stored; Heed's log says more. Try again, or send "
                        "something else."
                    )
                )
            return
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, HeedError):
                future.set_exception(result)
            else:
                future.set_result(result)


def apply(
    session: Session, items: Sequence[Exchange | Told], settings: FeedbackSettings
) -> list[Taken | HeedError | None]:
    """Write a batch within the caller's transaction; faults are returned in place, not raised.

    Returns:
        One result per item, in order: None for an exchange, `Taken` or the error for feedback.
    """
    if settings.redaction == "storage":
        items = [_as_stored(item, settings) for item in items]
    exchanges = [item for item in items if isinstance(item, Exchange)]
    tolds = [item for item in items if isinstance(item, Told)]
    now = time.time()
    if items:
        _add_people(session, {item.person_id: item.people_key_id for item in items}, now)
    if exchanges:
        session.execute(insert(Exchange), [exchange.model_dump() for exchange in exchanges])
    if not tolds:
        return [None for _ in items]
    results = _take(session, tolds, settings, now)
    answers = iter(results)
    return [None if isinstance(item, Exchange) else next(answers) for item in items]


def _as_stored(item: Exchange | Told, settings: FeedbackSettings) -> Exchange | Told:
    if isinstance(item, Exchange):
        return privacy.stored_exchange(item, settings)
    return replace(item, submission=privacy.stored_submission(item.submission, settings))


def _take(
    session: Session, tolds: Sequence[Told], settings: FeedbackSettings, now: float
) -> list[Taken | HeedError]:
    known = _known_events(session, tolds)
    choices = _choices(session, tolds)
    results: list[Taken | HeedError] = []
    feedbacks: list[Feedback] = []
    receipts: list[Receipt] = []
    for told in tolds:
        sent = told.submission
        fingerprint = sent.fingerprint(told.person_id)
        if sent.event_id in known:
            earlier, receipt = known[sent.event_id]
            if earlier.body_hash == fingerprint:
                results.append(Taken(receipt, earlier.exchange_id, repeated=True))
            else:
                results.append(
                    Conflict(
                        f"Event {sent.event_id!r} was already taken with another body, as "
                        f"{earlier.id}. Send a new event_id for a new statement.",
                        param="event_id",
                    )
                )
            continue
        fault = _fault(sent, choices)
        if fault:
            results.append(fault)
            continue
        feedback = _row(told, fingerprint, now)
        status, reason = trust.triage(feedback, settings)
        receipt = Receipt(feedback_id=feedback.id, status=status, reason=reason, updated_at=now)
        feedbacks.append(feedback)
        receipts.append(receipt)
        known[feedback.event_id] = (feedback, receipt)
        results.append(Taken(receipt, feedback.exchange_id, repeated=False))
    if feedbacks:
        # In a fixed order: two processes that write the same events must not wait for each other.
        feedbacks.sort(key=lambda feedback: feedback.event_id)
        session.execute(insert(Feedback), [feedback.model_dump() for feedback in feedbacks])
        session.execute(insert(Receipt), [receipt.model_dump() for receipt in receipts])
    return results


def _known_events(
    session: Session, tolds: Sequence[Told]
) -> dict[str | None, tuple[Feedback, Receipt]]:
    events = [told.submission.event_id for told in tolds if told.submission.event_id]
    if not events:
        return {}
    query = (
        select(Feedback, Receipt)
        .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
        .where(Feedback.project_id == PROJECT, col(Feedback.event_id).in_(events))
    )
    return {feedback.event_id: (feedback, receipt) for feedback, receipt in session.exec(query)}


def _choices(session: Session, tolds: Sequence[Told]) -> dict[str, int]:
    """Number of answers of every completion that is named."""
    named = {
        name
        for told in tolds
        for name in (told.submission.completion_id, told.submission.preferred_over)
        if name
    }
    query = select(Exchange.id, Exchange.choices).where(
        Exchange.project_id == PROJECT,
        col(Exchange.id).in_(named),
        Exchange.state != "forgotten",
    )
    return {name: len(choices) for name, choices in session.exec(query)}


def _fault(sent: Submission, choices: dict[str, int]) -> HeedError | None:
    for param in ("completion_id", "preferred_over"):
        name = getattr(sent, param)
        if name and name not in choices:
            return NotFound(
                f"No completion {name!r} is on record. Send the `id` of a chat completion that "
                "Heed answered (and that was not sent with `store: false`).",
                param=param,
            )
    if sent.preferred_over and sent.preferred_over == sent.completion_id:
        return Invalid(
            "`preferred_over` names the same completion; name the other answer.",
            param="preferred_over",
        )
    if sent.completion_id and sent.choice >= choices[sent.completion_id]:
        return Invalid(
            f"Completion {sent.completion_id!r} has {choices[sent.completion_id]} answer(s); "
            f"there is no choice {sent.choice}.",
            param="choice",
        )
    return None


def _row(told: Told, fingerprint: str, now: float) -> Feedback:
    sent = told.submission
    feedback_id = new_id("fbk")
    return Feedback(
        id=feedback_id,
        event_id=sent.event_id or feedback_id,
        body_hash=fingerprint,
        exchange_id=sent.completion_id,
        conversation_id=sent.conversation_id,
        choice=sent.choice,
        person_id=told.person_id,
        key_id=told.key_id,
        rating=sent.satisfaction,
        correction=sent.correction,
        preferred_over=sent.preferred_over,
        signal=sent.signal,
        body=sent.body(),
        # A clock that runs ahead must not let a vote win for ever.
        told_at=min(sent.created_at if sent.created_at is not None else told.arrived_at, now),
        received_at=now,
    )


def _add_people(session: Session, people: dict[str, str], now: float) -> None:
    rows = [
        {"id": person, "project_id": PROJECT, "key_id": key_id, "first_seen_at": now}
        for person, key_id in sorted(people.items())  # see the order of feedback
    ]
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    session.execute(dialect.insert(Person).on_conflict_do_nothing(), rows)
