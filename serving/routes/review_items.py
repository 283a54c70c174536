"""``/v1/reviews/{id}/…``: what reviewers do around one piece of feedback, short of deciding it."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from feedback import drafts, reservations, review_notes, review_queue
from feedback.text import checked
from serving import review_wire, wire
from serving.auth import audit
from serving.context import AsReviewer, Parts

router = APIRouter(tags=["reviews"])


class Draft(BaseModel):
    """The body of ``POST /v1/reviews/{id}/draft``."""

    model_config = ConfigDict(extra="forbid")

    correction: str | None = Field(
        None, description="The answer so far; null with no reason either throws the draft away."
    )
    reason: str | None = Field(None, max_length=2000, description="The reason so far.")
    version: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="Of the draft that was seen before, 0 for none: 409 where another window of "
        "yours has changed it since.",
    )


class Comment(BaseModel):
    """The body of ``POST /v1/reviews/{id}/comment``."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="What other reviewers should know.")


class Tags(BaseModel):
    """The body of ``POST /v1/reviews/{id}/tags``."""

    model_config = ConfigDict(extra="forbid")

    add: Annotated[list[str], Field(max_length=50)] = Field([], description="Tags to add.")
    remove: Annotated[list[str], Field(max_length=50)] = Field([], description="Tags to remove.")


@router.post("/v1/reviews/{feedback_id}/claim")
def claim(feedback_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Reserve an item, or renew one's reservation; 409 says who has it, and until when."""
    checked(feedback_id, "feedback_id", max_bytes=200)
    with parts.store.session(write=True) as session:
        now = parts.store.now_seconds(session)
        found = reservations.claim(
            session, parts.settings.feedback, feedback_id, reviewer=who.actor, now_seconds=now
        )
        session.commit()
    return review_wire.claimed(found, now)


@router.post("/v1/reviews/{feedback_id}/release")
def release(feedback_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Give a reservation back; somebody else's stays."""
    checked(feedback_id, "feedback_id", max_bytes=200)
    with parts.store.session(write=True) as session:
        now = parts.store.now_seconds(session)
        found = reservations.release(session, feedback_id, reviewer=who.actor)
        session.commit()
    return review_wire.claimed(found, now)


@router.post("/v1/reviews/{feedback_id}/draft")
def draft(feedback_id: str, body: Draft, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Keep what is being typed, and renew the reservation of who types; everybody has their own."""
    checked(feedback_id, "feedback_id", max_bytes=200)
    settings = parts.settings.feedback
    with parts.store.session(write=True) as session:
        now = parts.store.now_seconds(session)
        if body.correction is None and body.reason is None:
            reservations.item(session, feedback_id)
            drafts.discard(session, feedback_id, reviewer=who.actor)
            session.commit()
            return {"id": feedback_id, "object": "review.draft", "draft": None}
        kept = drafts.save(
            session,
            settings,
            feedback_id,
            reviewer=who.actor,
            correction=body.correction,
            reason=body.reason,
            version=body.version,
        )
        found = reservations.item(session, feedback_id, lock=True)
        if found.reserved_by == who.actor:
            reservations.take(session, found, settings, reviewer=who.actor, now_seconds=now)
        session.commit()
    return {"id": feedback_id, "object": "review.draft", "draft": review_wire.draft_(kept)}


@router.get("/v1/reviews/{feedback_id}/draft")
def own_draft(feedback_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Return one's own draft; null where there is none."""
    with parts.store.session() as session:
        reservations.item(session, feedback_id)
        kept = drafts.get(session, feedback_id, reviewer=who.actor)
    shown = None if kept is None else review_wire.draft_(kept)
    return {"id": feedback_id, "object": "review.draft", "draft": shown}


@router.get("/v1/reviews/{feedback_id}/cluster")
def cluster(feedback_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """List what one decision with `cluster` would cover; what others look at now is left out."""
    with parts.store.session() as session:
        now = parts.store.now_seconds(session)
        found = review_queue.alike(session, feedback_id, reviewer=who.actor, now_seconds=now)
        rows = review_queue.details(session, found)
    return wire.page(
        [
            review_wire.alike(
                row.item,
                row.exchange.messages[-1].get("content")
                if row.exchange and row.exchange.messages
                else None,
                row.feedback.body,
            )
            for row in rows
        ]
    )


@router.post("/v1/reviews/{feedback_id}/comment")
def comment(feedback_id: str, body: Comment, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Say something to other reviewers; it teaches nothing."""
    checked(feedback_id, "feedback_id", max_bytes=200)
    with parts.store.session(write=True) as session:
        made = review_notes.comment(
            session, parts.settings.feedback, feedback_id, reviewer=who.actor, text=body.text
        )
        audit(session, actor=who.actor, action="review.comment", subject=feedback_id)
        session.commit()
    return review_wire.comment(made)


@router.get("/v1/reviews/{feedback_id}/comments")
def comments(feedback_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """List what reviewers said to each other, oldest first."""
    with parts.store.session() as session:
        found = review_notes.comments(session, feedback_id)
    return wire.page([review_wire.comment(each) for each in found])


@router.post("/v1/reviews/{feedback_id}/tags")
def tags(feedback_id: str, body: Tags, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Add and remove tags; returns those that there are now."""
    checked(feedback_id, "feedback_id", max_bytes=200)
    with parts.store.session(write=True) as session:
        found = review_notes.tag(
            session, feedback_id, reviewer=who.actor, add=body.add, remove=body.remove
        )
        audit(session, actor=who.actor, action="review.tag", subject=feedback_id)
        session.commit()
    return {"id": feedback_id, "object": "review.tags", "tags": found}
