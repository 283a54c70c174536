"""Erasing a person from the feedback store, down to tombstones. Knows no snapshot and no adapter.

What they said and were told goes. What stays of a piece of feedback is its id and its receipt,
which says `forgotten` and which round and adapter it went into, so that whoever holds the id can
still ask, and lineage can still be checked.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, delete, update
from sqlmodel import Session, col, select

from feedback import review_index
from feedback.formats.content import BY_CONTENT
from feedback.models import Exchange, Feedback, Person, Receipt, Review
from feedback.store import Store

FORGOTTEN = "forgotten"
REASON = "Erased on request."
BATCH = 500
"""Databases bind only so many values to a statement."""


@dataclass(frozen=True)
class Traces:
    """What the store holds of one person.

    Attributes:
        person_ids: their keyed hashes, one for each key there has been.
        exchanges: ids of what they were told, and of what they demonstrated.
        feedback: ids of what they said, and of what others said of their exchanges.
        reviews: how many decisions there are on that feedback.
        adapters: ids of the adapters that their feedback's receipts name as having learned it.
        texts: what they asked, were told and said: to be found where it was copied to.
    """

    person_ids: tuple[str, ...]
    exchanges: frozenset[str]
    feedback: frozenset[str]
    reviews: int
    adapters: frozenset[str]
    texts: frozenset[str] = field(repr=False)


def lock(session: Session, person_ids: Sequence[str]) -> None:
    """Let nobody speak of their exchanges until the commit; SQLite's writer is alone anyway."""
    theirs = select(Exchange.id).where(_theirs(person_ids))
    for _ in _streamed(session, theirs.with_for_update()):
        pass


def trace(session: Session, person_ids: Sequence[str]) -> Traces:
    """Find everything that is theirs. Writes nothing."""
    exchanges: set[str] = set()
    texts: set[str] = set()
    query = select(Exchange.id, Exchange.messages, Exchange.choices)
    for name, messages, choices in _streamed(session, query.where(_theirs(person_ids))):
        exchanges.add(name)
        texts.update(str(message.get("content", "")) for message in messages)
        texts.update(str(choice.get("text", "")) for choice in choices)
    said: set[str] = set()
    adapters: set[str] = set()
    about = (
        select(Feedback.id, Feedback.correction, Receipt.status, Receipt.adapter_id)
        .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
        .where(_concerns(person_ids))
    )
    for name, correction, status, adapter_id in _streamed(session, about):
        said.add(name)
        texts.update(filter(None, [correction]))
        if adapter_id is not None and status != "held_out":
            adapters.add(adapter_id)
    reviews = 0
    for part in parts(said):
        decided = select(Review.correction).where(col(Review.feedback_id).in_(part))
        for correction in session.exec(decided):
            reviews += 1
            texts.update(filter(None, [correction]))
    return Traces(
        person_ids=tuple(person_ids),
        exchanges=frozenset(exchanges),
        feedback=frozenset(said),
        reviews=reviews,
        adapters=frozenset(adapters),
        texts=frozenset(texts - {""}),
    )


def erase(session: Session, found: Traces) -> None:
    """Erase what was traced. The caller has made sure that no round holds it, and commits."""
    empty_feedback(session, found.feedback)
    for part in parts(found.feedback):
        mine = col(Receipt.feedback_id).in_(part)
        held = mine & col(Receipt.status).in_(["waiting", "review"])
        session.execute(update(Receipt).where(held).values(round_id=None))
        session.execute(
            update(Receipt)
            .where(mine)
            .values(status=FORGOTTEN, reason=REASON, accepted_by=None, updated_at=time.time())
        )
        session.execute(
            update(Feedback)
            .where(col(Feedback.id).in_(part))
            .values(
                person_id=FORGOTTEN,
                # A client's own ids may name people as well.
                event_id=Feedback.id,
                key_id=None,
                told_at=time.time(),
                received_at=time.time(),
            )
        )
        session.execute(
            update(Feedback)
            .where(col(Feedback.id).in_(part), col(Feedback.conversation_id).is_not(None))
            .values(conversation_id=FORGOTTEN)
        )
    empty_exchanges(session, found.exchanges)
    for part in parts(found.exchanges):
        session.execute(
            update(Exchange)
            .where(col(Exchange.id).in_(part))
            .values(person_id=FORGOTTEN, people_key_id="", key_id=None, created_at=time.time())
        )
    session.execute(delete(Person).where(col(Person.id).in_(found.person_ids)))


def empty_feedback(session: Session, feedback_ids: Iterable[str]) -> None:
    """Take away what was said, and what reviewers said of it; the rows stay. The caller commits."""
    feedback_ids = set(feedback_ids)
    review_index.forget(session, feedback_ids)
    for part in parts(feedback_ids):
        session.execute(delete(Review).where(col(Review.feedback_id).in_(part)))
        session.execute(
            update(Feedback)
            .where(col(Feedback.id).in_(part))
            .values(
                body={},
                body_hash="",
                rating=None,
                correction=None,
                preferred_over=None,
                signal=None,
            )
        )


def empty_exchanges(session: Session, exchange_ids: Iterable[str]) -> None:
    """Delete exchanges; where feedback names one, its emptied row stays. The caller commits."""
    for part in parts(exchange_ids):
        # Locked, so that nobody can begin to speak of one between the look and the deletion.
        rows = session.exec(
            select(Exchange.id, Exchange.choices)
            .where(col(Exchange.id).in_(part))
            .with_for_update()
        ).all()
        named = set(
            session.exec(select(Feedback.exchange_id).where(col(Feedback.exchange_id).in_(part)))
        )
        kept = [_tombstone(name, len(choices)) for name, choices in rows if name in named]
        if kept:
            session.execute(update(Exchange), kept)
        gone = [name for name, _ in rows if name not in named]
        session.execute(delete(Exchange).where(col(Exchange.id).in_(gone)))


def parts(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names in order, as many at a time as a statement takes."""
    ordered = sorted(names)
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


def overwrite(store: Store) -> bool:
    """Make what was deleted unreadable in the database's files, too.

    SQLite leaves deleted bytes where they were until something else takes the place; VACUUM
    writes the file anew, and the checkpoint empties the log beside it. PostgreSQL's VACUUM gives
    the space back to be written over.

    Returns:
        False where somebody was reading the old bytes at that moment, so that SQLite's log could
        not be emptied: it will be when they are done, at the next checkpoint.
    """
    raw = store.engine.raw_connection()
    try:
        connection: Any = raw.driver_connection
        if store.is_sqlite:
            connection.execute("VACUUM")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        connection.autocommit = True
        for table in (Exchange, Feedback, Receipt, Review, Person, *review_index.KEPT):
            connection.execute(f'VACUUM "{table.__tablename__}"')
        connection.autocommit = False
        return True
    finally:
        raw.close()


def _theirs(person_ids: Sequence[str]) -> ColumnElement[bool]:
    """The exchanges of theirs: what they asked, and what they demonstrated.

    A training file does not say who asked, so what comes from one is nobody's exchange. An answer in it
    that was given as one to learn is what somebody said, all the same: its correction is itself.
    """
    demonstrated = (
        select(Feedback.exchange_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .where(
            col(Feedback.person_id).in_(person_ids),
            col(Feedback.event_id).startswith(BY_CONTENT),
            col(Feedback.correction) == col(Exchange.choices)[(0, "text")].as_string(),
            col(Exchange.origin) == "import",
        )
    )
    return col(Exchange.person_id).in_(person_ids) | col(Exchange.id).in_(demonstrated)


def _concerns(person_ids: Sequence[str]) -> ColumnElement[bool]:
    """What they said, and what anybody said of what they were told: it quotes or answers them."""
    theirs = _theirs(person_ids)
    exchanges = select(Exchange.id).where(theirs)
    conversations = select(Exchange.conversation_id).where(
        theirs, col(Exchange.conversation_id).is_not(None)
    )
    return (
        col(Feedback.person_id).in_(person_ids)
        | col(Feedback.exchange_id).in_(exchanges)
        | col(Feedback.preferred_over).in_(exchanges)
        | (col(Feedback.exchange_id).is_(None) & col(Feedback.conversation_id).in_(conversations))
    )


def _streamed(session: Session, query: Any) -> Iterator[Any]:
    yield from session.exec(query.execution_options(yield_per=BATCH))


def _tombstone(name: str, choices: int) -> dict[str, Any]:
    return {
        "id": name,
        "conversation_id": None,
        "group": None,
        "messages": [],
        "prompt_hash": "",
        # As many as there were, since feedback on it says which of them it meant.
        "choices": [{"text": "", "finish_reason": FORGOTTEN} for _ in range(choices)],
        "sampling": {},
        "tags": {},
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "state": FORGOTTEN,
    }
