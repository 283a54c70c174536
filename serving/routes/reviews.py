"""``/v1/reviews``: what waits for judgement, and deciding it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from feedback import receipts, review
from feedback.models import STATUSES, Decision
from feedback.text import checked
from serving import wire
from serving.auth import audit
from serving.context import AsReviewer, Parts
from trainer import guarded, material

router = APIRouter(tags=["reviews"])


class Verdict(BaseModel):
    """The body of ``POST /v1/reviews``."""

    model_config = ConfigDict(extra="forbid")

    feedback_id: str | Annotated[list[str], Field(min_length=1, max_length=500)] = Field(
        description="What is decided: one id, or up to 500."
    )
    decision: Decision = Field(description="accept, refuse, edit, or reopen (undo).")
    correction: str | None = Field(None, description="With `edit`: the answer as it should be.")
    reason: str | None = Field(None, max_length=2000, description="Shown on the receipt.")


@router.get("/v1/reviews/queue")
def queue(
    parts: Parts,
    who: AsReviewer,
    *,
    status: Annotated[str, Query(pattern=f"^({'|'.join(STATUSES)})$")] = "review",
    kind: str | None = None,
    adapter: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """List feedback, oldest first; a correction that contradicts a protected item names it."""
    with parts.store.session() as session:
        rows, more = review.queue(
            session, status=status, kind=kind, adapter=adapter, after=after, limit=limit
        )
        protected = guarded.items(session, parts.settings.trainer, parts.settings.feedback.data_dir)
    data = [
        wire.waiting(
            row,
            [
                item.id
                for item in protected
                if row.exchange is not None
                and row.feedback.correction is not None
                and material.contradicts(item, row.exchange.messages, row.feedback.correction)
            ],
        )
        for row in rows
    ]
    return wire.page(data, more=more)


@router.post("/v1/reviews")
def decide(body: Verdict, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Decide one or several pieces of feedback, all or none."""
    ids = [body.feedback_id] if isinstance(body.feedback_id, str) else body.feedback_id
    if body.reason is not None:
        checked(body.reason, "reason", max_bytes=parts.settings.feedback.max_text_bytes)
    with parts.store.session(write=True) as session:
        found = []
        for feedback_id in ids:
            checked(feedback_id, "feedback_id", max_bytes=200)
            receipt = review.decide(
                session,
                parts.settings.feedback,
                feedback_id=feedback_id,
                decision=body.decision,
                reviewer=who.actor,
                correction=body.correction,
                reason=body.reason,
            )
            _, feedback = receipts.receipt(session, feedback_id)
            found.append(wire.receipt(receipt, feedback.exchange_id))
            audit(session, actor=who.actor, action=f"review.{body.decision}", subject=feedback_id)
        session.commit()
    return wire.page(found)
