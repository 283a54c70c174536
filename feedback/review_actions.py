"""What reviewers did, and undoing it: everything that a decision changed is put back.

Nothing is taken out of the record: undoing a decision makes the one before it the last again. Knows
no rule of what may be decided.
"""

import time
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from feedback.errors import Conflict
from feedback.ids import new_id
from feedback.models import Receipt, Review
from feedback.receipts import locked, taken_in
from feedback.reservations import item as item_of
from feedback.review_models import ReviewAction, ReviewDraft, ReviewItem, ReviewVerdict
from feedback.settings import PROJECT

LANES = {"accept": "accepted", "edit": "edited", "refuse": "refused", "reopen": "waiting"}
_RECEIPT = ("status", "reason", "accepted_by", "round_id", "role", "teaches")


def state(session: Session, receipt: Receipt, item: ReviewItem) -> dict[str, Any]:
    """Return what a decision is about to change."""
    found = {name: getattr(receipt, name) for name in _RECEIPT}
    return {**found, "lane": item.lane, "review_id": _in_force(session, item.feedback_id)}


def note(
    session: Session,
    item: ReviewItem,
    receipt: Receipt,
    before: dict[str, Any],
    *,
    reviewer: str,
    decision: str,
    batch: str | None,
) -> None:
    """Write down a decision that was just written on a receipt. The caller commits."""
    name = new_id("act")
    session.add(
        ReviewAction(
            id=name,
            batch=batch or name,
            feedback_id=item.feedback_id,
            reviewer=reviewer,
            decision=decision,
            before=before,
            after=receipt.status,
            at=time.time(),
        )
    )
    session.flush()
    session.refresh(item)  # the database moved it where the receipt's status changed; now we do
    item.lane = LANES[decision]
    item.version += 1
    item.reserved_by = item.reserved_until = None
    session.add(item)
    drafts = select(ReviewDraft).where(
        ReviewDraft.feedback_id == item.feedback_id, ReviewDraft.reviewer == reviewer
    )
    for draft in session.exec(drafts):
        session.delete(draft)
    if decision == "reopen":
        verdicts = select(ReviewVerdict).where(ReviewVerdict.feedback_id == item.feedback_id)
        for verdict in session.exec(verdicts):
            session.delete(verdict)
    session.flush()


def last(session: Session, feedback_id: str) -> ReviewAction | None:
    """Return the last decision on a piece of feedback that was not undone."""
    query = (
        select(ReviewAction)
        .where(ReviewAction.feedback_id == feedback_id, col(ReviewAction.undone_at).is_(None))
        .order_by(col(ReviewAction.id).desc())
        .limit(1)
    )
    return session.exec(query).first()


def undo(session: Session, feedback_id: str, *, reviewer: str) -> list[Receipt]:
    """Undo the last decision, with all that were made together with it. The caller commits.

    Args:
        session: a writing session.
        feedback_id: what was decided.
        reviewer: who undoes it.

    Returns:
        The receipts as they are again, the one that was asked for first.

    Raises:
        NotFound: it never came to review.
        Conflict: there is nothing to undo; a round has one of them already; or one of them was
            decided again, or withdrawn, since.
    """
    item_of(session, feedback_id)
    done = last(session, feedback_id)
    if done is None:
        raise Conflict(f"There is no decision on {feedback_id} to undo.", param="feedback_id")
    together = session.exec(
        select(ReviewAction)
        .where(ReviewAction.batch == done.batch, col(ReviewAction.undone_at).is_(None))
        .order_by(col(ReviewAction.feedback_id) != feedback_id, col(ReviewAction.feedback_id))
    ).all()
    return [_undo(session, action, reviewer=reviewer) for action in together]


def count(session: Session, *, since: float, reviewer: str | None = None) -> dict[str, int]:
    """Return how many decisions were made since then and stand, by kind.

    Args:
        session: a session that only reads.
        since: Unix seconds.
        reviewer: one reviewer's alone.
    """
    query = (
        select(ReviewAction.decision, func.count())
        .where(
            ReviewAction.project_id == PROJECT,
            ReviewAction.at >= since,
            col(ReviewAction.undone_at).is_(None),
        )
        .group_by(ReviewAction.decision)
    )
    if reviewer is not None:
        query = query.where(ReviewAction.reviewer == reviewer)
    kinds = dict.fromkeys(("accept", "refuse", "edit", "reopen"), 0)
    return {**kinds, **dict(session.exec(query).all())}


def by_reviewer(session: Session, *, since: float) -> list[tuple[str, int]]:
    """Return how many decisions of each reviewer since then stand, the most first."""
    number = func.count()
    query = (
        select(ReviewAction.reviewer, number)
        .where(
            ReviewAction.project_id == PROJECT,
            ReviewAction.at >= since,
            col(ReviewAction.undone_at).is_(None),
        )
        .group_by(ReviewAction.reviewer)
        .order_by(number.desc(), ReviewAction.reviewer)
    )
    return [(name, count) for name, count in session.exec(query)]


def _undo(session: Session, action: ReviewAction, *, reviewer: str) -> Receipt:
    receipt = locked(session, action.feedback_id)
    if taken_in(receipt):
        raise Conflict(
            f"Round {receipt.round_id} has {action.feedback_id} already ({receipt.status}), so the "
            "decision cannot be undone; what the round learned can, by rolling its adapter back.",
            param="feedback_id",
        )
    newest = last(session, action.feedback_id)
    if newest is None or newest.id != action.id or receipt.status != action.after:
        raise Conflict(
            f"{action.feedback_id} has changed since ({receipt.reason}), so the decision before "
            "that cannot be undone by itself.",
            param="feedback_id",
        )
    item = item_of(session, action.feedback_id, lock=True)
    before = dict(action.before)
    lane, verdict_of = before.pop("lane"), before.pop("verdict_of", None)
    for name in _RECEIPT:
        setattr(receipt, name, before[name])
    receipt.updated_at = time.time()
    session.add(receipt)
    session.add(_again(session, action, reviewer))
    if verdict_of is not None:
        verdict = session.get(ReviewVerdict, (action.feedback_id, verdict_of))
        if verdict is not None:
            session.delete(verdict)
    action.undone_at, action.undone_by = time.time(), reviewer
    session.add(action)
    session.flush()
    session.refresh(item)  # the database moved it where the receipt's status changed; now we do
    item.lane = lane
    item.version += 1
    session.add(item)
    session.flush()
    return receipt


def _in_force(session: Session, feedback_id: str) -> str | None:
    query = select(Review.id).where(Review.feedback_id == feedback_id)
    return session.exec(query.order_by(col(Review.id).desc()).limit(1)).first()


def _again(session: Session, action: ReviewAction, reviewer: str) -> Review:
    """The decision that counts again; without one before it, that it waits for review again."""
    named = action.before["review_id"]
    found = session.get(Review, named) if named else None
    return Review(
        id=new_id("rev"),
        feedback_id=action.feedback_id,
        decision=found.decision if found else "reopen",
        correction=found.correction if found else None,
        reason=found.reason if found else None,
        reviewer=found.reviewer if found else reviewer,
        created_at=time.time(),
    )
