"""``/v1/reviews``: what waits for judgement, the next one for a reviewer, and deciding it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from feedback import drafts, receipts, review, review_actions, review_queue, verdicts
from feedback.errors import Conflict, Invalid, NotFound
from feedback.ids import new_id
from feedback.models import STATUSES, Decision
from feedback.review import Waiting
from feedback.review_queue import Filters, Order, Shown
from feedback.text import checked
from serving import review_wire, wire
from serving.auth import audit
from serving.context import AsReviewer, Heed, Parts
from serving.review_upkeep import catch_up
from trainer import guarded, material
from trainer.suites import Item

router = APIRouter(tags=["reviews"])
BY_RECEIPT = frozenset({"status", "kind", "adapter", "after", "limit"})
"""What a list may be narrowed by that also holds what never came to review."""


class QueueQuery(Filters):
    """What `GET /v1/reviews/queue` is asked."""

    model_config = ConfigDict(extra="ignore")

    status: Annotated[str, Field(pattern=f"^({'|'.join(STATUSES)})$")] = "review"
    order: Order | None = Field(
        None, description="best (what a decision would change most), oldest or newest."
    )
    after: str | None = Field(None, description="`next` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="Rows in the page.")


class NextQuery(Filters):
    """What `GET /v1/reviews/next` is asked."""

    model_config = ConfigDict(extra="ignore")

    order: Order = Field("best", description="best, oldest or newest.")
    skip: list[str] = Field(
        [], max_length=50, description="Ids to pass over, as the one on the screen."
    )


class Verdict(BaseModel):
    """The body of ``POST /v1/reviews``."""

    model_config = ConfigDict(extra="forbid")

    feedback_id: str | Annotated[list[str], Field(min_length=1, max_length=500)] = Field(
        description="What is decided: one id, or up to 500."
    )
    decision: Decision = Field(description="accept, refuse, edit, or reopen (undo).")
    correction: str | None = Field(None, description="With `edit`: the answer as it should be.")
    reason: str | None = Field(None, max_length=2000, description="Shown on the receipt.")
    version: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="The item's `version` as it was seen: 409 where somebody decided it since.",
    )
    cluster: bool = Field(
        False, description="Also what waits and says nearly the same; with one id alone."
    )


@router.get("/v1/reviews/queue")
def queue(parts: Parts, who: AsReviewer, asked: Annotated[QueueQuery, Query()]) -> dict[str, Any]:
    """List feedback; a correction that contradicts a protected item names it.

    With a `lane`, an `order`, a search or any other filter: items of the review queue, by default
    those first that a decision would change most. Otherwise feedback by `status`, oldest first.
    """
    if asked.model_fields_set <= BY_RECEIPT:
        return _by_receipt(parts, asked)
    if "status" in asked.model_fields_set:
        raise Invalid("Name a `lane` beside these filters; `status` goes alone.", param="status")
    catch_up(parts.store)
    filters = Filters.model_validate(
        asked.model_dump(include=set(Filters.model_fields), exclude_unset=True)
    )
    with parts.store.session() as session:
        rows, more = review_queue.find(
            session,
            filters,
            reviewer=who.actor,
            order=asked.order or "best",
            after=asked.after,
            limit=asked.limit,
        )
        return wire.page(shown(parts, session, rows, who.actor), more=more)


@router.get("/v1/reviews/next")
def next_item(
    parts: Parts, who: AsReviewer, asked: Annotated[NextQuery, Query()]
) -> dict[str, Any]:
    """Reserve the next item for this reviewer and return it; `item` is null where none is left."""
    catch_up(parts.store)
    filters = Filters.model_validate(
        asked.model_dump(include=set(Filters.model_fields), exclude_unset=True)
    )
    for name in asked.skip:
        checked(name, "skip", max_bytes=200)
    with parts.store.session(write=True) as session:
        found = review_queue.next_item(
            session,
            parts.settings.feedback,
            filters,
            reviewer=who.actor,
            now_seconds=parts.store.now_seconds(session),
            order=asked.order,
            skip=asked.skip,
        )
        rows = shown(parts, session, [found] if found else [], who.actor)
        session.commit()
    return {"object": "review.next", "item": rows[0] if rows else None}


@router.post("/v1/reviews")
def decide(body: Verdict, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Decide one or several pieces of feedback, all or none.

    Where a decision comes too late, or somebody else has the item, what was typed stays as the
    reviewer's own draft.
    """
    ids = [body.feedback_id] if isinstance(body.feedback_id, str) else body.feedback_id
    if body.reason is not None:
        checked(body.reason, "reason", max_bytes=parts.settings.feedback.max_text_bytes)
    for feedback_id in ids:
        checked(feedback_id, "feedback_id", max_bytes=200)
    if len(ids) > 1 and (body.cluster or body.version is not None):
        raise Invalid(
            "`cluster` and `version` go with one id.",
            param="cluster" if body.cluster else "version",
        )
    try:
        return _decide(parts, who.actor, ids, body)
    except Conflict as late:
        if body.correction is None or not _kept(parts, who.actor, ids[0], body):
            raise
        raise Conflict(
            f"{late.message} What you wrote is kept as your draft.", param=late.param
        ) from late


@router.post("/v1/reviews/{feedback_id}/undo")
def undo(feedback_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Undo the last decision on an item, with all made together with it, or one's own verdict."""
    checked(feedback_id, "feedback_id", max_bytes=200)
    with parts.store.session(write=True) as session:
        found = []
        if verdicts.withdraw(session, feedback_id, reviewer=who.actor):
            done = [receipts.receipt(session, feedback_id)[0]]
        else:
            done = review_actions.undo(session, feedback_id, reviewer=who.actor)
        for receipt in done:
            _, feedback = receipts.receipt(session, receipt.feedback_id)
            found.append(wire.receipt(receipt, feedback.exchange_id))
            audit(session, actor=who.actor, action="review.undo", subject=receipt.feedback_id)
        session.commit()
    return wire.page(found)


def _by_receipt(parts: Heed, asked: QueueQuery) -> dict[str, Any]:
    with parts.store.session() as session:
        rows, more = review.queue(
            session,
            status=asked.status,
            kind=asked.kind,
            adapter=asked.adapter,
            after=asked.after,
            limit=asked.limit,
        )
        protected = _protected(parts, session)
    return wire.page([wire.waiting(row, _conflicts(row, protected)) for row in rows], more=more)


def _decide(parts: Heed, actor: str, ids: list[str], body: Verdict) -> dict[str, Any]:
    settings = parts.settings.feedback
    with parts.store.session(write=True) as session:
        now = parts.store.now_seconds(session)
        if body.cluster:
            covered = review_queue.alike(session, ids[0], reviewer=actor, now_seconds=now)
            ids = [each.feedback_id for each in covered]
        batch = new_id("bat") if len(ids) > 1 else None
        found, after = [], []
        for feedback_id in ids:
            given = verdicts.give(
                session,
                settings,
                feedback_id=feedback_id,
                decision=body.decision,
                reviewer=actor,
                correction=body.correction,
                reason=body.reason,
                version=body.version if feedback_id == ids[0] else None,
                batch=batch,
                now_seconds=now,
            )
            _, feedback = receipts.receipt(session, feedback_id)
            found.append(wire.receipt(given.receipt, feedback.exchange_id))
            after.append(
                {
                    "id": feedback_id,
                    "lane": given.lane,
                    "version": given.version,
                    "verdicts": given.given,
                    "verdicts_needed": given.needed,
                }
            )
            audit(session, actor=actor, action=f"review.{body.decision}", subject=feedback_id)
        session.commit()
    return {**wire.page(found), "reviews": after}


def _kept(parts: Heed, actor: str, feedback_id: str, body: Verdict) -> bool:
    """Keep what was typed for a decision that did not come through; tells whether it could be."""
    with parts.store.session(write=True) as session:
        try:
            drafts.save(
                session,
                parts.settings.feedback,
                feedback_id,
                reviewer=actor,
                correction=body.correction,
                reason=body.reason,
            )
        except NotFound:  # it never came to review, and was refused as what a round has
            return False
        session.commit()
    return True


def shown(parts: Heed, session: Session, rows: list[Shown], actor: str) -> list[dict[str, Any]]:
    """Items as a reviewer needs them."""
    if not rows:
        return []
    corrected = any(row.feedback.correction is not None for row in rows)
    protected = _protected(parts, session) if corrected else []
    items = [row.item for row in rows]
    mine = drafts.of(session, [each.feedback_id for each in items], reviewer=actor)
    given = verdicts.shown(session, items, reviewer=actor)
    now = parts.store.now_seconds(session)
    return [
        review_wire.item(
            row,
            conflicts=_conflicts(Waiting(row.feedback, row.receipt, row.exchange), protected),
            draft=mine.get(row.feedback.id),
            verdicts=given.get(row.feedback.id, []),
            needed=verdicts.needed(parts.settings.feedback, row.feedback.id),
            now_seconds=now,
        )
        for row in rows
    ]


def _protected(parts: Heed, session: Session) -> list[Item]:
    return guarded.items(session, parts.settings.trainer, parts.settings.feedback.data_dir)


def _conflicts(row: Waiting, protected: list[Item]) -> list[str]:
    if row.exchange is None or row.feedback.correction is None:
        return []
    return [
        item.id
        for item in protected
        if material.contradicts(item, row.exchange.messages, row.feedback.correction)
    ]
