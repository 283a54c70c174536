"""``/v1/reviews/queues``, ``progress`` and ``agreement``: how a team shares the work of reviewing."""

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from feedback import review_actions, review_notes, review_queue, verdicts
from feedback.review_queue import Filters
from feedback.text import checked
from serving import review_wire, wire
from serving.auth import audit
from serving.context import AsReviewer, Parts
from trainer.until import until

router = APIRouter(tags=["reviews"])
DAY_SECONDS = 86_400.0


class Queue(BaseModel):
    """The body of ``POST /v1/reviews/queues``."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="Yours of that name is replaced.")
    filters: Filters = Field(description="As GET /v1/reviews/queue takes them.")
    shared: bool = Field(False, description="Everybody sees it; otherwise only you do.")


@router.get("/v1/reviews/queues")
def queues(parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """List one's own saved queues, and those that are shared."""
    with parts.store.session() as session:
        found = review_notes.queues(session, reviewer=who.actor)
    return wire.page([review_wire.queue(each) for each in found])


@router.post("/v1/reviews/queues")
def save_queue(body: Queue, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Save filters under a name."""
    with parts.store.session(write=True) as session:
        saved = review_notes.save_queue(
            session,
            owner=who.actor,
            name=body.name,
            filters=body.filters.model_dump(exclude_unset=True),
            shared=body.shared,
        )
        audit(session, actor=who.actor, action="review.queue.save", subject=saved.id)
        session.commit()
    return review_wire.queue(saved)


@router.delete("/v1/reviews/queues/{queue_id}")
def delete_queue(queue_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Delete a saved queue of one's own; an admin anybody's that is shared."""
    checked(queue_id, "queue_id", max_bytes=200)
    with parts.store.session(write=True) as session:
        is_admin = who.allows("admin")
        review_notes.delete_queue(session, queue_id, reviewer=who.actor, is_admin=is_admin)
        audit(session, actor=who.actor, action="review.queue.delete", subject=queue_id)
        session.commit()
    return {"id": queue_id, "object": "review.queue.deleted", "deleted": True}


@router.get("/v1/reviews/progress")
def progress(parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Tell what is done and what is left: one's own, the team's, and until the next round."""
    now = time.time()
    midnight = now - now % DAY_SECONDS
    with parts.store.session() as session:
        lanes = review_queue.lanes(session, reviewer=who.actor)
        done = {
            name: {
                "mine": review_actions.count(session, since=since, reviewer=who.actor),
                "team": review_actions.count(session, since=since),
            }
            for name, since in (("today", midnight), ("week", now - 7 * DAY_SECONDS))
        }
        team = review_actions.by_reviewer(session, since=now - 7 * DAY_SECONDS)
        ahead = until(session, parts.settings.trainer)
    return {
        "object": "review.progress",
        "reviewer": who.actor,
        "lanes": lanes,
        "decided": done,
        "team": [{"reviewer": name, "decided_this_week": count} for name, count in team],
        "next_round": {
            "available": ahead.available,
            "missing": ahead.missing,
            "missing_for_schedule": ahead.missing_for_schedule,
            "running": ahead.running,
        },
    }


@router.get("/v1/reviews/agreement")
def agreement(parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Tell how well reviewers agree who judged the same without seeing each other's verdict."""
    with parts.store.session() as session:
        return verdicts.agreement(session)
