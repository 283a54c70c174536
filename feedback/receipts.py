"""Receipts: what became of one piece of feedback, and taking it back. Knows no HTTP.

Each ends in exactly one state; `role` says what part it played: what it taught as, which slice it
judged in, or that a later vote of the same person replaced it.
"""

import time
from collections.abc import Iterable

from sqlalchemy import func
from sqlmodel import Session, col, select

from feedback import votes
from feedback.errors import Conflict, NotFound
from feedback.models import STATUSES, Exchange, Feedback, Receipt
from feedback.settings import PROJECT

REPLACED = "replaced"
"""The role of a vote that was refused only because the same person voted again."""


def receipt(session: Session, feedback_id: str) -> tuple[Receipt, Feedback]:
    """Return a receipt and its feedback.

    Raises:
        NotFound: there is no such feedback.
    """
    found = session.exec(
        select(Receipt, Feedback)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .where(Receipt.feedback_id == feedback_id, Receipt.project_id == PROJECT)
    ).first()
    if found is None:
        raise NotFound(
            f"No feedback {feedback_id!r} is on record; the id is in the answer to "
            "POST /v1/feedback.",
            param="feedback_id",
        )
    return found[0], found[1]


def withdraw(session: Session, feedback_id: str) -> Receipt:
    """Take a vote back; doing it twice is the same as once. The caller commits.

    A vote that it had replaced counts again.

    Raises:
        NotFound: there is no such feedback.
        Conflict: a round is learning from it now, or has.
    """
    _, feedback = receipt(session, feedback_id)
    found = locked(session, feedback_id)
    if found.status in ("withdrawn", "forgotten"):
        return found
    if taken_in(found):
        raise Conflict(
            f"Round {found.round_id} has taken {feedback_id} in already, so it cannot simply be "
            "withdrawn; send a new vote, or ask for erasure (`heed forget`)."
        )
    decide(session, [found], "withdrawn", "Withdrawn by whoever sent it.")
    found.role = None
    _revive(session, feedback)
    return found


def replace(found: Receipt, later_id: str) -> None:
    """Refuse a vote in favour of the same person's later one."""
    found.status = "refused"
    found.role = REPLACED
    found.reason = replaced_by(later_id)


def replaced_by(later_id: str) -> str:
    """The reason on the receipt of a vote that was cast again."""
    return f"Replaced by the same person's later vote {later_id}."


def _revive(session: Session, withdrawn: Feedback) -> None:
    """Let the votes count again that only the withdrawn one stood against."""
    rows = session.exec(
        select(Receipt, Feedback)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .where(
            Feedback.exchange_id == withdrawn.exchange_id,
            Feedback.choice == withdrawn.choice,
            Feedback.person_id == withdrawn.person_id,
            col(Receipt.status).not_in(["withdrawn", "forgotten"]),
        )
        .with_for_update(of=Receipt)
        .execution_options(populate_existing=True)
    ).all()
    replaced = votes.superseded([feedback for _, feedback in rows])
    for found, feedback in rows:
        if found.role != REPLACED or found.status != "refused":
            continue
        if feedback.id in replaced:
            replace(found, replaced[feedback.id])
        else:
            found.role = None
            reason = "The vote that replaced it was withdrawn; waits for the next round."
            decide(session, [found], "waiting", reason)
        session.add(found)


def locked(session: Session, feedback_id: str) -> Receipt:
    """Return a receipt as it is now and stays until the commit: a round may be claiming it."""
    query = select(Receipt).where(Receipt.feedback_id == feedback_id).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).one()


def taken_in(found: Receipt) -> bool:
    """Whether a round works with this feedback now, or has."""
    claimed = found.status == "waiting" and found.round_id is not None
    return claimed or found.status in ("used", "held_out")


def decide(session: Session, receipts: Iterable[Receipt], status: str, reason: str) -> None:
    """Set the status of receipts. The caller commits."""
    for found in receipts:
        found.status = status
        found.reason = reason
        found.updated_at = time.time()
        session.add(found)


def counts(session: Session) -> dict[str, int]:
    """Return the number of pieces of feedback by status, zeros included."""
    rows = session.exec(
        select(Receipt.status, func.count())
        .where(Receipt.project_id == PROJECT)
        .group_by(Receipt.status)
    )
    return {**dict.fromkeys(STATUSES, 0), **dict(rows.all())}


def totals(session: Session) -> dict[str, int]:
    """Return how much has been said, by kind, and how many exchanges there are."""
    total = select(func.count()).select_from(Feedback).where(Feedback.project_id == PROJECT)
    return {
        "exchanges": session.exec(
            select(func.count()).select_from(Exchange).where(Exchange.project_id == PROJECT)
        ).one(),
        "feedback": session.exec(total).one(),
        "ratings": session.exec(total.where(col(Feedback.rating).is_not(None))).one(),
        "corrections": session.exec(total.where(col(Feedback.correction).is_not(None))).one(),
        "preferences": session.exec(total.where(col(Feedback.preferred_over).is_not(None))).one(),
        "signals": session.exec(total.where(col(Feedback.signal).is_not(None))).one(),
        "people": session.exec(
            select(func.count(func.distinct(Feedback.person_id))).where(
                Feedback.project_id == PROJECT, Feedback.person_id != "forgotten"
            )
        ).one(),
    }
