"""What reviewers write beside a piece of feedback: comments to each other, tags, and saved queues."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, or_, select

from feedback import privacy, reservations
from feedback.errors import Conflict, Forbidden, Invalid, NotFound
from feedback.ids import new_id
from feedback.review_models import ReviewComment, ReviewQueue, ReviewTag
from feedback.review_queue import Filters
from feedback.settings import PROJECT, FeedbackSettings
from feedback.text import checked

MOST_TAGS = 50
MOST_COMMENTS = 500
MOST_QUEUES = 500


def comment(
    session: Session, settings: FeedbackSettings, feedback_id: str, *, reviewer: str, text: str
) -> ReviewComment:
    """Add a comment; it teaches nothing. The caller commits.

    Raises:
        NotFound: it never came to review.
        Invalid, TooLarge: an empty comment, or one that cannot be kept.
    """
    if not text.strip():
        raise Invalid("`text` is empty.", param="text")
    checked(text, "text", max_bytes=settings.max_text_bytes)
    reservations.item(session, feedback_id)
    made = ReviewComment(
        id=new_id("com"),
        feedback_id=feedback_id,
        reviewer=reviewer,
        text=privacy.stored_text(text, settings) or "",
        at=time.time(),
    )
    session.add(made)
    return made


def comments(session: Session, feedback_id: str) -> list[ReviewComment]:
    """Return the comments on a piece of feedback, oldest first.

    Raises:
        NotFound: it never came to review.
    """
    reservations.item(session, feedback_id)
    query = select(ReviewComment).where(ReviewComment.feedback_id == feedback_id)
    return list(session.exec(query.order_by(col(ReviewComment.id)).limit(MOST_COMMENTS)))


def tag(
    session: Session,
    feedback_id: str,
    *,
    reviewer: str,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> list[str]:
    """Add and remove tags; twice is the same as once. The caller commits.

    Returns:
        The tags there are now.

    Raises:
        NotFound: it never came to review.
        Invalid: a tag is empty or too long, or there are too many.
    """
    for name in add:
        if not name.strip() or len(name) > 100:
            raise Invalid("A tag has 1 to 100 characters.", param="add")
        checked(name, "add", max_bytes=400)
    reservations.item(session, feedback_id, lock=True)
    query = select(ReviewTag).where(ReviewTag.feedback_id == feedback_id, ReviewTag.kind == "tag")
    kept = {each.name: each for each in session.exec(query)}
    for name in {each.strip() for each in add} - kept.keys():
        made = ReviewTag(feedback_id=feedback_id, kind="tag", name=name, reviewer=reviewer)
        session.add(made)
        kept[name] = made
    for name in {each.strip() for each in remove} & kept.keys():
        session.delete(kept.pop(name))
    if len(kept) > MOST_TAGS:
        raise Invalid(f"More than {MOST_TAGS} tags help nobody.", param="add")
    session.flush()
    return sorted(kept)


def save_queue(
    session: Session, *, owner: str, name: str, filters: Mapping[str, Any], shared: bool = False
) -> ReviewQueue:
    """Save filters under a name; under the same name again they are replaced. The caller commits.

    Raises:
        Invalid: an empty name.
        Conflict: one person keeps no more than so many.
    """
    name = name.strip()
    if not name:
        raise Invalid("`name` is empty.", param="name")
    checked(name, "name", max_bytes=400)
    kept = Filters.model_validate(filters).model_dump(exclude_defaults=True)
    for value in kept.values():
        if isinstance(value, str):
            checked(value, "filters", max_bytes=4000)
    mine = select(ReviewQueue).where(ReviewQueue.project_id == PROJECT, ReviewQueue.owner == owner)
    saved = {each.name: each for each in session.exec(mine)}
    found = saved.get(name)
    if found is None:
        if len(saved) >= MOST_QUEUES:
            raise Conflict(f"You have {len(saved)} queues; delete some first.")
        found = ReviewQueue(
            id=new_id("que"), name=name, owner=owner, filters={}, created_at=time.time()
        )
    found.filters, found.shared = kept, shared
    session.add(found)
    return found


def queues(session: Session, *, reviewer: str) -> list[ReviewQueue]:
    """Return one's own saved queues and those that are shared, by name."""
    query = select(ReviewQueue).where(
        ReviewQueue.project_id == PROJECT,
        or_(ReviewQueue.owner == reviewer, col(ReviewQueue.shared)),
    )
    return list(session.exec(query.order_by(col(ReviewQueue.name), col(ReviewQueue.id))))


def delete_queue(session: Session, queue_id: str, *, reviewer: str, is_admin: bool = False) -> None:
    """Delete a saved queue of one's own; an admin anybody's that is shared. The caller commits.

    Raises:
        NotFound: there is none that one can see.
        Forbidden: it is somebody else's.
    """
    found = session.get(ReviewQueue, queue_id)
    if found is None or (found.owner != reviewer and not found.shared):
        raise NotFound(f"No saved queue {queue_id!r}; GET /v1/reviews/queues lists them.")
    if found.owner != reviewer and not is_admin:
        raise Forbidden(f"This queue is {found.owner}'s; they, or an admin, can delete it.")
    session.delete(found)
