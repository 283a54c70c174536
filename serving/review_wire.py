"""How the review queue looks on the wire: items, drafts, comments, saved queues. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from feedback.review import Waiting
from feedback.review_models import (
    ReviewComment,
    ReviewDraft,
    ReviewItem,
    ReviewQueue,
    ReviewVerdict,
)
from feedback.review_queue import Shown
from serving import wire


def item(
    shown: Shown,
    *,
    conflicts: Sequence[str],
    draft: ReviewDraft | None,
    verdicts: Sequence[ReviewVerdict],
    needed: int,
    now_seconds: float,
) -> dict[str, Any]:
    """Return one item as a reviewer needs it; `verdicts` are those that they may see."""
    found = shown.item
    waiting = wire.waiting(Waiting(shown.feedback, shown.receipt, shown.exchange), conflicts)
    return {
        **waiting,
        "lane": found.lane,
        "kind": found.kind,
        "rating": found.rating,
        "priority": -found.rank,
        "why": found.why or None,
        "topic": found.topic,
        "language": found.language,
        "trust": found.trust,
        "cluster": found.cluster,
        "alike": shown.alike,
        "tags": list(shown.tags),
        "comments": shown.comments,
        "version": found.version,
        "reserved": reservation(found, now_seconds),
        "draft": None if draft is None else draft_(draft),
        "verdicts": [verdict(each) for each in verdicts],
        "verdicts_needed": needed,
    }


def reservation(found: ReviewItem, now_seconds: float) -> dict[str, Any] | None:
    """Return who looks at an item, and until when; None where nobody does."""
    until = found.reserved_until
    if found.reserved_by is None or until is None or until <= now_seconds:
        return None
    return {"by": found.reserved_by, "until": until}


def claimed(found: ReviewItem, now_seconds: float) -> dict[str, Any]:
    """Return what came of reserving an item, or giving it back."""
    return {
        "id": found.feedback_id,
        "object": "review.reservation",
        "lane": found.lane,
        "version": found.version,
        "reserved": reservation(found, now_seconds),
    }


def alike(found: ReviewItem, question: str | None, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return one of those that a decision would cover."""
    return {
        "id": found.feedback_id,
        "object": "review.item",
        "lane": found.lane,
        "version": found.version,
        "person": found.person_id,
        "question": question,
        "feedback": dict(said),
    }


def draft_(kept: ReviewDraft) -> dict[str, Any]:
    """Return a draft."""
    return {
        "correction": kept.correction,
        "reason": kept.reason,
        "version": kept.version,
        "updated_at": kept.updated_at,
    }


def verdict(given: ReviewVerdict) -> dict[str, Any]:
    """Return a verdict."""
    return {
        "reviewer": given.reviewer,
        "decision": given.decision,
        "correction": given.correction,
        "reason": given.reason,
        "at": given.at,
    }


def comment(made: ReviewComment) -> dict[str, Any]:
    """Return a comment."""
    return {
        "id": made.id,
        "object": "review.comment",
        "reviewer": made.reviewer,
        "text": made.text,
        "created_at": made.at,
    }


def queue(saved: ReviewQueue) -> dict[str, Any]:
    """Return a saved queue."""
    return {
        "id": saved.id,
        "object": "review.queue",
        "name": saved.name,
        "owner": saved.owner,
        "shared": saved.shared,
        "filters": saved.filters,
        "created_at": saved.created_at,
    }
