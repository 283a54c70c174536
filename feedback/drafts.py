"""Edits as they are typed: kept for whoever types, until they decide. Knows no decision.

Everybody has a draft of their own for each piece of feedback, so none overwrites another's; and of
one person's two windows the one that did not see the other's text is told so.
"""

import time

from sqlmodel import Session, col, select

from feedback import privacy, reservations
from feedback.errors import Conflict
from feedback.review_models import ReviewDraft
from feedback.settings import PROJECT, FeedbackSettings
from feedback.text import checked


def save(
    session: Session,
    settings: FeedbackSettings,
    feedback_id: str,
    *,
    reviewer: str,
    correction: str | None,
    reason: str | None = None,
    version: int | None = None,
) -> ReviewDraft:
    """Keep what somebody has typed so far. The caller commits.

    Args:
        session: a writing session.
        settings: bounds the length of texts, and says whether they are redacted.
        feedback_id: what is edited.
        reviewer: whose draft it is.
        correction: the answer so far; an unfinished or empty one is fine.
        reason: the reason so far.
        version: of the draft that was seen before; None overwrites one's own, whatever it is.

    Raises:
        NotFound: it never came to review.
        Conflict: the draft has changed since that version, in another window of the same reviewer.
        Invalid, TooLarge: a text that cannot be kept.
    """
    for name, text in (("correction", correction), ("reason", reason)):
        if text is not None:
            checked(text, name, max_bytes=settings.max_text_bytes)
    reservations.item(session, feedback_id, lock=True)
    kept = get(session, feedback_id, reviewer=reviewer)
    if version is not None and version != (kept.version if kept else 0):
        raise Conflict(
            f"Your draft of {feedback_id} was changed elsewhere since (version "
            f"{kept.version if kept else 0}, not {version}); load it, then save again.",
            param="version",
        )
    if kept is None:
        kept = ReviewDraft(feedback_id=feedback_id, reviewer=reviewer, version=0, updated_at=0)
    kept.correction = privacy.stored_text(correction, settings)
    kept.reason = privacy.stored_text(reason, settings)
    kept.version += 1
    kept.updated_at = time.time()
    session.add(kept)
    return kept


def get(session: Session, feedback_id: str, *, reviewer: str) -> ReviewDraft | None:
    """Return somebody's own draft of one piece of feedback."""
    return session.get(ReviewDraft, (feedback_id, reviewer))


def of(session: Session, feedback_ids: list[str], *, reviewer: str) -> dict[str, ReviewDraft]:
    """Return somebody's own drafts of some feedback (one page of it), by its id."""
    query = select(ReviewDraft).where(
        col(ReviewDraft.feedback_id).in_(feedback_ids),
        ReviewDraft.reviewer == reviewer,
        ReviewDraft.project_id == PROJECT,
    )
    return {each.feedback_id: each for each in session.exec(query)}


def discard(session: Session, feedback_id: str, *, reviewer: str) -> bool:
    """Throw somebody's own draft away; returns whether there was one. The caller commits."""
    kept = get(session, feedback_id, reviewer=reviewer)
    if kept is not None:
        session.delete(kept)
        session.flush()
    return kept is not None
