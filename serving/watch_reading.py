"""The answers of one version, in their order, with what their people said of them. Decides nothing.

Everything is read along the index by time, from where it was left, and only once it is so old that
nothing of it can still come: an answer is logged at its end, and a vote comes later still.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, col

from feedback.columns import as_text, columns, decoded
from feedback.ids import portions
from feedback.models import Exchange, Feedback, Receipt
from feedback.settings import PROJECT
from serving.canary_evidence import ORIGINS
from serving.routing import MODEL
from serving.watch_measures import Answer


@dataclass(frozen=True)
class Place:
    """How far was read: everything before this time, and at this time up to this id."""

    at: float
    id: str = ""


def answers(
    session: Session, adapter: str, begin: Place, end: float, *, most: int, settle: float
) -> tuple[list[Answer], Place]:
    """Return the next answers of a version, and how far they go.

    Args:
        session: a session that only reads.
        adapter: the version; `base` for the base model.
        begin: from here on …
        end: … to before this time.
        most: so many exchanges at most.
        settle: a vote counts within so many seconds after its answer began.
    """
    query = (
        columns(
            Exchange.id,
            Exchange.person_id,
            Exchange.created_at,
            as_text(Exchange.messages),
            as_text(Exchange.choices),
        )
        .where(*_live(adapter, begin.at, end), _behind(begin))
        .order_by(col(Exchange.created_at), col(Exchange.id))
        .limit(most)
    )
    rows = session.connection().execute(query).all()
    said = _opinions(session, {row.id: row.created_at for row in rows}, settle)
    found = []
    for row in rows:
        opinion, corrected = said.get((row.id, row.person_id), (None, False))
        found.append(
            Answer(
                row.person_id,
                row.created_at,
                _asked(row.messages),
                str(decoded(row.choices)[0]["text"] or ""),
                opinion,
                corrected,
            )
        )
    return found, Place(rows[-1].created_at, rows[-1].id) if len(rows) == most else Place(end)


def people(
    session: Session, adapter: str, begin: float, end: Place, *, settle: float
) -> Iterator[Answer]:
    """Yield who was answered in a time that was read already, and whether they voted."""
    query = (
        columns(Exchange.id, Exchange.person_id, Exchange.created_at)
        .where(*_live(adapter, begin, None), *_up_to(end))
        .order_by(col(Exchange.created_at), col(Exchange.id))
    )
    rows = session.connection().execute(query).all()
    said = _opinions(session, {row.id: row.created_at for row in rows}, settle)
    for row in rows:
        opinion, corrected = said.get((row.id, row.person_id), (None, False))
        yield Answer(row.person_id, row.created_at, "", "", opinion, corrected)


def newest(session: Session, adapter: str, begin: float, end: float, *, most: int) -> float:
    """Return the time from which on there are at most so many answers, and no earlier than `begin`."""
    query = (
        columns(Exchange.created_at)
        .where(*_live(adapter, begin, end))
        .order_by(col(Exchange.created_at).desc())
        .offset(max(0, most - 1))
        .limit(1)
    )
    if not most:
        return end
    row = session.connection().execute(query).first()
    return begin if row is None else float(row.created_at)


def examples(
    session: Session, adapter: str, begin: float, end: Place, *, most: int
) -> list[tuple[str, str, str]]:
    """Return (person, prompt, answer) of the newest answers before a place."""
    query = (
        columns(
            Exchange.person_id,
            as_text(Exchange.messages),
            as_text(Exchange.choices),
        )
        .where(*_live(adapter, begin, None), *_up_to(end))
        .order_by(col(Exchange.created_at).desc(), col(Exchange.id).desc())
        .limit(most)
    )
    return [
        (row.person_id, _asked(row.messages), str(decoded(row.choices)[0]["text"] or ""))
        for row in session.connection().execute(query)
    ]


def _live(adapter: str, begin: float, end: float | None) -> list[ColumnElement[bool]]:
    """What people were given by the version, whole; not what somebody asked of it by name."""
    conditions = [
        col(Exchange.project_id) == PROJECT,
        col(Exchange.created_at) >= begin,
        # Not by the index on versions: one of them may have given a million answers.
        func.coalesce(col(Exchange.adapter_id), "") == adapter,
        col(Exchange.model) == MODEL,
        col(Exchange.origin).in_(ORIGINS),
        col(Exchange.state) == "complete",
    ]
    return conditions if end is None else [*conditions, col(Exchange.created_at) < end]


def _behind(place: Place) -> ColumnElement[bool]:
    at, name = col(Exchange.created_at), col(Exchange.id)
    return (at > place.at) | ((at == place.at) & (name > place.id))


def _up_to(place: Place) -> tuple[ColumnElement[bool], ...]:
    # The second alone would do, and no index would be of use.
    return col(Exchange.created_at) <= place.at, ~_behind(place)


def _opinions(
    session: Session, begun: dict[str, float], settle: float
) -> dict[tuple[str, str], tuple[float | None, bool]]:
    """What people said in time, by exchange and person: their first opinion, and any correction."""
    found: dict[tuple[str, str], tuple[float | None, bool]] = {}
    for some in portions(begun):
        query = (
            columns(
                Feedback.exchange_id,
                Feedback.person_id,
                Feedback.rating,
                Feedback.correction,
                Feedback.received_at,
            )
            .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
            .where(
                col(Feedback.exchange_id).in_(some),
                col(Feedback.rating).is_not(None) | col(Feedback.correction).is_not(None),
                col(Receipt.status).not_in(["withdrawn", "forgotten"]),
            )
            .order_by(col(Feedback.id))
        )
        for row in session.connection().execute(query):
            if row.received_at > begun[row.exchange_id] + settle:
                continue
            slot = (row.exchange_id, row.person_id)
            before, corrected = found.get(slot, (None, False))
            corrects = row.correction is not None
            opinion = 0.0 if corrects else float(row.rating)
            found[slot] = (opinion if before is None else before, corrected or corrects)
    return found


def _asked(messages: str) -> str:
    """What the person said last."""
    said: list[dict[str, Any]] = decoded(messages)
    return next((str(m["content"] or "") for m in reversed(said) if m["role"] == "user"), "")
