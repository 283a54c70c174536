"""Which receipts a round may claim, and the marks that a claim leaves on them. Knows no reason.

Everything is read as columns and written at once: a round may claim ten thousand receipts.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, bindparam, exists, true
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from feedback.columns import columns
from feedback.ids import portions
from feedback.models import Exchange, Feedback, Receipt, Review
from feedback.rows import update_rows
from feedback.settings import PROJECT
from feedback.statements import explicit

TEXT, NUMBER = "text", "double precision"


class Marks:
    """What a claim writes on receipts, gathered and written at once."""

    def __init__(self, round_id: str) -> None:
        self._round_id = round_id
        self._taken: list[tuple[Any, ...]] = []
        self._signals: list[tuple[Any, ...]] = []
        self._others: list[tuple[Any, ...]] = []

    def take(
        self,
        feedback_id: str,
        weight: float,
        probability: float | None,
        *,
        accepted_by: str | None = None,
    ) -> None:
        """The round learns from this."""
        row = feedback_id, self._round_id, weight, probability
        if accepted_by is None:
            self._taken.append(row)
        else:
            self._signals.append((*row, accepted_by))

    def refuse(self, feedback_id: str, reason: str, *, role: str | None = None) -> None:
        """No round learns from this."""
        self._others.append((feedback_id, "refused", reason, role))

    def leave(self, feedback_id: str, reason: str) -> None:
        """Another round may."""
        self._others.append((feedback_id, "waiting", reason, None))

    def write(self, session: Session) -> int:
        """Write everything; returns how much the round holds."""
        held = {"round_id": TEXT, "weight": NUMBER, "probability": NUMBER}
        write_receipts(session, held, self._taken)
        write_receipts(session, {**held, "accepted_by": TEXT}, self._signals)
        write_receipts(session, dict.fromkeys(("status", "reason", "role"), TEXT), self._others)
        return len(self._taken) + len(self._signals)


def write_receipts(
    session: Session, columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Write values of their own on receipts, with the time. The caller commits.

    Args:
        session: a writing session; what it has loaded is read again when it is used.
        columns: what is set, with the type.
        rows: the feedback id, then a value for each of `columns`.
    """
    now = time.time()
    told = [(*row, now) for row in rows]
    table = cast(str, Receipt.__tablename__)
    update_rows(session.connection(), table, "feedback_id", {**columns, "updated_at": NUMBER}, told)
    session.expire_all()


def same_feedback() -> ColumnElement[bool]:
    """Join a receipt with its feedback."""
    return col(Receipt.feedback_id) == col(Feedback.id)


def held_by(round_id: str) -> tuple[ColumnElement[bool], ...]:
    """The receipts that a round holds."""
    return col(Receipt.round_id) == round_id, col(Receipt.status) == "waiting"


def waiting() -> tuple[ColumnElement[bool], ...]:
    """The receipts that no round holds yet."""
    return (
        col(Receipt.project_id) == PROJECT,
        col(Receipt.status) == bindparam("waiting", "waiting", literal_execute=True),
        col(Receipt.round_id).is_(None),
    )


def claimable() -> tuple[ColumnElement[bool], ...]:
    """The votes from which a round could learn; joined with their feedback.

    The status is written out and `teaches` stands first, since that is how their index knows them:
    signals, which wait for ever, are not in it.
    """
    edited = exists().where(
        col(Review.feedback_id) == col(Feedback.id), col(Review.decision) == "edit"
    )
    # What teaches nothing must not make a round due again and again.
    teaches = explicit() | (col(Receipt.accepted_by).is_not(None) & edited)
    # A chat client's own prompt, for a title or for tags, is no conversation with anybody.
    asked_by_nobody = exists().where(
        col(Exchange.id) == col(Feedback.exchange_id), col(Exchange.origin) == "task"
    )
    return (
        col(Receipt.teaches) == true(),
        *waiting(),
        col(Feedback.exchange_id).is_not(None),
        ~asked_by_nobody,
        teaches,
    )


def free(session: Session, feedback_ids: Sequence[str]) -> set[str]:
    """Return which of these still wait, locked until the commit."""
    found: set[str] = set()
    for some in portions(feedback_ids):
        query = (
            columns(Receipt.feedback_id)
            .where(col(Receipt.feedback_id).in_(some), *waiting())
            .with_for_update()
        )
        found.update(session.connection().execute(query).scalars())
    return found


def said_again() -> ColumnElement[bool]:
    """Whether the same person spoke of the same answer more than once.

    What is a signal alone replaces no vote, and most of what is said twice of an answer is one.
    """
    other = aliased(Feedback)
    return exists().where(
        col(other.exchange_id) == col(Feedback.exchange_id),
        col(other.choice) == col(Feedback.choice),
        col(other.person_id) == col(Feedback.person_id),
        col(other.id) != col(Feedback.id),
        col(other.signal).is_(None) | col(Feedback.signal).is_not(None),
    )


def rivals(session: Session, exchange_ids: Iterable[str]) -> list[Any]:
    """Return every event on these answers that still stands: of some, others take the place."""
    rivals: list[Any] = []
    for some in portions(exchange_ids):
        query = (
            columns(
                Feedback.id,
                Feedback.event_id,
                Feedback.exchange_id,
                Feedback.conversation_id,
                Feedback.choice,
                Feedback.person_id,
                Feedback.signal,
                Feedback.body,
                Feedback.told_at,
            )
            .select_from(Feedback)
            .join(Receipt, same_feedback())
            .where(
                col(Feedback.exchange_id).in_(some),
                col(Receipt.status).not_in(["withdrawn", "forgotten"]),
            )
        )
        rivals += session.connection().execute(query).all()
    return rivals
