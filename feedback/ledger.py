"""What becomes of a batch within one transaction: known, faulty, or written down. Knows no thread.

Feedback goes past the ORM, as tuples in the order of the columns: it arrives by the thousand.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from sqlalchemy import insert
from sqlmodel import Session

from feedback import privacy, trust
from feedback.errors import Conflict, HeedError, Invalid, NotFound
from feedback.ids import new_ids
from feedback.models import Exchange, Feedback, Person, Receipt
from feedback.rows import insert_rows, rows_named
from feedback.settings import PROJECT, FeedbackSettings
from feedback.submission import Submission

_json = json.JSONEncoder().encode  # as SQLAlchemy writes a JSON column


@dataclass(frozen=True)
class Told:
    """A submission with who sent it and when: what the writer needs to know of the caller.

    What takes time and needs no database is computed here, by whoever sends: the writer is one.
    """

    submission: Submission
    person_id: str
    people_key_id: str
    key_id: str | None = None
    # Not the time of writing: a batch is written at one moment, and the order of votes counts.
    arrived_at: float = field(default_factory=time.time)
    fingerprint: str = field(init=False, repr=False)
    body: dict[str, Any] = field(init=False, repr=False)
    body_text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        body = self.submission.body()
        vars(self).update(  # frozen from here on
            fingerprint=self.submission.fingerprint(self.person_id),
            body=body,
            body_text=_json(body),
        )


class Event(NamedTuple):
    """A row of `Feedback` that is about to be, column by column."""

    id: str
    event_id: str
    body_hash: str
    exchange_id: str | None
    conversation_id: str | None
    choice: int
    person_id: str
    key_id: str | None
    rating: float | None
    correction: str | None
    preferred_over: str | None
    signal: str | None
    told_at: float
    received_at: float
    project_id: str
    body: dict[str, Any]


class Kept(NamedTuple):
    """A row of `Receipt`, column by column."""

    feedback_id: str
    status: str
    reason: str
    updated_at: float
    project_id: str = PROJECT
    accepted_by: str | None = None
    round_id: str | None = None
    adapter_id: str | None = None
    role: str | None = None
    weight: float | None = None
    probability: float | None = None
    teaches: bool = False


class Taken(NamedTuple):
    """The answer to a submission: its receipt, and whether it had been taken before."""

    kept: Kept
    completion_id: str | None
    repeated: bool

    @property
    def receipt(self) -> Receipt:
        """The receipt, as the store has it."""
        return Receipt(**self.kept._asdict())


class Known(NamedTuple):
    """What is on record under an event id."""

    body_hash: str
    completion_id: str | None
    kept: Kept


_KNOWN = f"""
SELECT feedback.event_id, feedback.body_hash, feedback.exchange_id,
  {", ".join(f"receipt.{name}" for name in Kept._fields)}
FROM feedback JOIN receipt ON receipt.feedback_id = feedback.id
WHERE feedback.project_id = '{PROJECT}' AND"""
# Counted over there, since an answer may be long; and in one row, since SQLite's driver lets go of
# Python's lock at each.
_CHOICES = """
SELECT CAST({collect}(exchange.id, json_array_length(exchange.choices)) AS text) FROM exchange
WHERE exchange.project_id = '{project}' AND exchange.state <> 'forgotten' AND"""
_CHOICES_OF = {
    "sqlite": _CHOICES.format(collect="json_group_object", project=PROJECT),
    "postgresql": _CHOICES.format(collect="json_object_agg", project=PROJECT),
}


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
    if exchanges:
        session.execute(insert(Exchange), [exchange.model_dump() for exchange in exchanges])
    results = _take(session, tolds, settings, now) if tolds else []
    # Of what was refused nothing is kept, nor who sent it; and who was forgotten since they said it
    # is not remembered because it comes again.
    people = {exchange.person_id: exchange.people_key_id for exchange in exchanges}
    for told, done in zip(tolds, results, strict=True):
        if isinstance(done, Taken) and not done.repeated:
            people[told.person_id] = told.people_key_id
    _add_people(session, people, now)
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
    ids = new_ids("fbk", len(tolds))  # rising, so that among equal times the later line counts
    results: list[Taken | HeedError] = []
    events: list[tuple[Any, ...]] = []
    receipts: list[Kept] = []
    for told, feedback_id in zip(tolds, ids, strict=True):
        sent = told.submission
        earlier = known.get(sent.event_id) if sent.event_id else None
        if earlier is not None:
            results.append(_again(told, earlier))
            continue
        fault = _fault(sent, choices)
        if fault:
            results.append(fault)
            continue
        event = _event(told, feedback_id, now)
        status, reason = trust.triage(cast(Feedback, event), settings)
        teaches = trust.teaches(sent.satisfaction, sent.correction, sent.preferred_over)
        kept = Kept(feedback_id, status, reason, now, teaches=teaches)
        events.append((*event[:-1], told.body_text))
        receipts.append(kept)
        known[event.event_id] = Known(event.body_hash, event.exchange_id, kept)
        results.append(Taken(kept, event.exchange_id, repeated=False))
    if events:
        # In a fixed order: two processes that write the same events must not wait for each other.
        events.sort(key=_event_id)
        connection = session.connection()
        insert_rows(connection, "feedback", Event._fields, events)
        insert_rows(connection, "receipt", Kept._fields, receipts)
    return results


def _event_id(event: tuple[Any, ...]) -> str:
    return cast(str, event[1])


def _known_events(session: Session, tolds: Sequence[Told]) -> dict[str, Known]:
    names = [told.submission.event_id for told in tolds if told.submission.event_id]
    rows = rows_named(session.connection(), _KNOWN, "feedback.event_id", names)
    return {row[0]: Known(row[1], row[2], Kept(*row[3:])) for row in rows}


def _choices(session: Session, tolds: Sequence[Told]) -> dict[str, int]:
    """Number of answers of every completion that is named."""
    names = {told.submission.completion_id for told in tolds}
    names |= {told.submission.preferred_over for told in tolds}
    named = [name for name in names if name]
    if not named:
        return {}
    connection = session.connection()
    query = _CHOICES_OF[connection.dialect.name]
    [(found,)] = rows_named(connection, query, "exchange.id", named)
    counts: dict[str, int] = json.loads(found or "{}")  # of no rows PostgreSQL makes nothing
    return counts


def _again(told: Told, earlier: Known) -> Taken | HeedError:
    if earlier.body_hash == told.fingerprint:
        return Taken(earlier.kept, earlier.completion_id, repeated=True)
    return Conflict(
        f"Event {told.submission.event_id!r} was already taken with another body, as "
        f"{earlier.kept.feedback_id}. Send a new event_id for a new statement.",
        param="event_id",
    )


def _fault(sent: Submission, choices: dict[str, int]) -> HeedError | None:
    for param, name in (
        ("completion_id", sent.completion_id),
        ("preferred_over", sent.preferred_over),
    ):
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


def _event(told: Told, feedback_id: str, now: float) -> Event:
    sent = told.submission
    return Event(
        id=feedback_id,
        event_id=sent.event_id or feedback_id,
        body_hash=told.fingerprint,
        exchange_id=sent.completion_id,
        conversation_id=sent.conversation_id,
        choice=sent.choice,
        person_id=told.person_id,
        key_id=told.key_id,
        rating=sent.satisfaction,
        correction=sent.correction,
        preferred_over=sent.preferred_over,
        signal=sent.signal,
        # A clock that runs ahead must not let a vote win for ever.
        told_at=told.arrived_at if sent.created_at is None else min(sent.created_at, now),
        received_at=now,
        project_id=PROJECT,
        body=told.body,
    )


def _add_people(session: Session, people: dict[str, str], now: float) -> None:
    rows = [(name, PROJECT, key, now) for name, key in sorted(people.items())]  # see the events
    columns = ("id", "project_id", "key_id", "first_seen_at")
    table = cast(str, Person.__tablename__)
    insert_rows(session.connection(), table, columns, rows, skip_known=True)
