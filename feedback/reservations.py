"""Who looks at what: an item is reserved for one reviewer for a while, and everybody sees it.

A reservation is two columns of the item, so it holds in every process; it ends by itself, by being
given back, or with a decision. Knows no order and no decision.
"""

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, or_, update
from sqlmodel import Session, col, select

from feedback.errors import Conflict, NotFound
from feedback.review_models import ReviewItem
from feedback.settings import PROJECT, FeedbackSettings


def item(session: Session, feedback_id: str, *, lock: bool = False) -> ReviewItem:
    """Return an item of the review queue.

    Args:
        session: of the store; a writing one where it is locked.
        feedback_id: the piece of feedback.
        lock: nobody else changes it until the commit.

    Raises:
        NotFound: it never came to review.
    """
    query = select(ReviewItem).where(
        ReviewItem.feedback_id == feedback_id, ReviewItem.project_id == PROJECT
    )
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    found = session.exec(query).first()
    if found is None:
        raise NotFound(
            f"{feedback_id!r} is not in the review queue; GET /v1/reviews/queue lists what is.",
            param="feedback_id",
        )
    return found


def claim(
    session: Session,
    settings: FeedbackSettings,
    feedback_id: str,
    *,
    reviewer: str,
    now_seconds: float,
) -> ReviewItem:
    """Reserve an item, or renew one's reservation. The caller commits.

    Args:
        session: a writing session.
        settings: how long a reservation lasts.
        feedback_id: what is looked at.
        reviewer: who looks.
        now_seconds: the database's own clock (`Store.now_seconds`): reviewers come by several
            servers.

    Raises:
        NotFound: it never came to review.
        Conflict: somebody else has it (says until when), or it was withdrawn or forgotten.
    """
    found = item(session, feedback_id, lock=True)
    if found.lane == "gone":
        raise Conflict(f"{feedback_id} was withdrawn or forgotten; take the next one.")
    refuse_others(found, reviewer, now_seconds)
    take(session, found, settings, reviewer=reviewer, now_seconds=now_seconds)
    return found


def take(
    session: Session,
    found: ReviewItem,
    settings: FeedbackSettings,
    *,
    reviewer: str,
    now_seconds: float,
) -> None:
    """Write a reservation on an item that is locked and free. The caller commits."""
    found.reserved_by = reviewer
    found.reserved_until = now_seconds + settings.review_reservation_seconds
    session.add(found)


def release(session: Session, feedback_id: str, *, reviewer: str) -> ReviewItem:
    """Give a reservation back; of somebody else's, or of none, nothing happens. The caller commits.

    Raises:
        NotFound: it never came to review.
    """
    found = item(session, feedback_id, lock=True)
    if found.reserved_by == reviewer:
        found.reserved_by = found.reserved_until = None
        session.add(found)
    return found


def release_all(session: Session, *, reviewer: str) -> int:
    """Give back everything that a reviewer holds, as they leave. The caller commits."""
    mine = col(ReviewItem.reserved_by) == reviewer
    done = session.exec(
        update(ReviewItem).where(mine).values(reserved_by=None, reserved_until=None)
    )
    return done.rowcount


def refuse_others(found: ReviewItem, reviewer: str, now_seconds: float) -> None:
    """Refuse whoever comes to what somebody else has reserved.

    Raises:
        Conflict: names who has it, and until when.
    """
    until = held_until(found, now_seconds)
    if until is not None and found.reserved_by != reviewer:
        at = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise Conflict(
            f"{found.feedback_id} is reserved by {found.reserved_by} until {at}; take the next "
            "one, or come back then.",
            param="feedback_id",
        )


def held_until(found: ReviewItem, now_seconds: float) -> float | None:
    """Until when somebody has an item; None where nobody does."""
    until = found.reserved_until
    return until if found.reserved_by and until is not None and until > now_seconds else None


def free_for(reviewer: str, now_seconds: float) -> ColumnElement[bool]:
    """The condition for items that nobody else holds."""
    return or_(
        col(ReviewItem.reserved_by).is_(None),
        col(ReviewItem.reserved_by) == reviewer,
        col(ReviewItem.reserved_until) <= now_seconds,
    )
