"""What waits for a person's judgement, and what they decide. Knows no HTTP and no model."""

import time
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from feedback import privacy, reservations
from feedback import review_actions as actions
from feedback.errors import Conflict, Invalid, NotFound
from feedback.ids import new_id
from feedback.models import Decision, Exchange, Feedback, Receipt, Review
from feedback.receipts import locked, taken_in
from feedback.review_models import ReviewItem
from feedback.settings import PROJECT, FeedbackSettings
from feedback.text import checked
from feedback.trust import REVIEWER


@dataclass(frozen=True)
class Waiting:
    """One piece of feedback with what a reviewer needs to judge it."""

    feedback: Feedback
    receipt: Receipt
    exchange: Exchange | None


class Decided(NamedTuple):
    """A reviewer's decision that is in force.

    Attributes:
        at: when it was made, Unix seconds.
        correction: the reviewer's own answer, where the decision was an edit.
    """

    at: float | None
    correction: str | None


UNDECIDED = Decided(None, None)
"""No reviewer has decided."""


def queue(
    session: Session,
    *,
    status: str = "review",
    kind: str | None = None,
    adapter: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[Waiting], bool]:
    """Return a page of feedback, oldest first, and whether there is more.

    Args:
        session: a session that only reads.
        status: which receipts: ``review`` by default.
        kind: only ``rating``, ``correction``, ``preference``, ``comment`` or ``signal``.
        adapter: only about answers of this adapter.
        after: the id of the last row of the page before.
        limit: rows in the page.
    """
    columns = {
        "rating": col(Feedback.rating),
        "correction": col(Feedback.correction),
        "preference": col(Feedback.preferred_over),
        "comment": col(Feedback.body)["comment"].as_string(),
        "signal": col(Feedback.signal),
    }
    query = (
        select(Feedback, Receipt, Exchange)
        .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id, isouter=True)
        # The status is written out, since the queue's own index is of those in review alone.
        .where(
            Receipt.project_id == PROJECT,
            col(Receipt.status) == bindparam("status", status, literal_execute=True),
        )
        .order_by(col(Receipt.feedback_id))
        .limit(limit + 1)
    )
    if kind is not None:
        if kind not in columns:
            raise Invalid(
                f"`kind` is {kind!r}; choose one of {', '.join(sorted(columns))}.", param="kind"
            )
        query = query.where(columns[kind].is_not(None))
    if adapter is not None:
        query = query.where(Exchange.adapter_id == adapter)
    if after is not None:
        query = query.where(col(Receipt.feedback_id) > after)
    rows = [Waiting(*row) for row in session.exec(query)]
    return rows[:limit], len(rows) > limit


def decide(
    session: Session,
    settings: FeedbackSettings,
    *,
    feedback_id: str,
    decision: Decision,
    reviewer: str,
    correction: str | None = None,
    reason: str | None = None,
    version: int | None = None,
    batch: str | None = None,
    now_seconds: float | None = None,
    verdict_of: str | None = None,
) -> Receipt:
    """Record one decision; the last one counts, and `undo` takes it back. The caller commits.

    Args:
        session: a writing session.
        settings: bounds the length of an edited answer.
        feedback_id: what is judged.
        decision: ``accept`` as it is, ``refuse``, ``edit`` (accept `correction` in its place), or
            ``reopen`` (it waits for review again).
        reviewer: who decides, as they are known in the audit log.
        correction: the right answer; with ``edit`` alone.
        reason: why, in the reviewer's words; shown on the receipt.
        version: of the item as the reviewer saw it; None decides whatever became of it meanwhile.
        batch: names decisions that are made, and undone, together.
        now_seconds: the database's clock, for reservations; by default this machine's.
        verdict_of: whose verdict was the last that was waited for; undoing takes it back, too.

    Raises:
        NotFound: no such feedback.
        Conflict: withdrawn, forgotten, or a round has it; somebody else has reserved it, or has
            decided it since that version.
        Invalid, TooLarge: an edit without an answer, an answer without an edit, or a text that
            cannot be kept.
    """
    receipt, feedback = decidable(session, feedback_id)
    check(settings, feedback, decision=decision, correction=correction, reason=reason)
    item = listed(session, receipt, feedback)
    now = time.time() if now_seconds is None else now_seconds
    reservations.refuse_others(item, reviewer, now)
    refuse_late(session, item, version)
    correction, reason = (privacy.stored_text(each, settings) for each in (correction, reason))
    before = {**actions.state(session, receipt, item), "verdict_of": verdict_of}
    session.add(
        Review(
            id=new_id("rev"),
            feedback_id=feedback_id,
            decision=decision,
            correction=correction,
            reason=reason,
            reviewer=reviewer,
            created_at=time.time(),
        )
    )
    receipt.status, receipt.accepted_by, said = {
        "accept": ("waiting", REVIEWER, "A reviewer accepted it; waits for the next round."),
        "edit": ("waiting", REVIEWER, "A reviewer edited it; waits for the next round."),
        "refuse": ("refused", None, "A reviewer refused it."),
        "reopen": ("review", None, "Waits for a reviewer again."),
    }[decision]
    receipt.reason = f"{said} {reason}" if reason else said
    receipt.round_id = receipt.role = None
    receipt.teaches = receipt.teaches or decision == "edit"
    receipt.updated_at = time.time()
    session.add(receipt)
    actions.note(session, item, receipt, before, reviewer=reviewer, decision=decision, batch=batch)
    return receipt


def decidable(session: Session, feedback_id: str) -> tuple[Receipt, Feedback]:
    """Return what can be decided still, locked until the commit.

    Raises:
        NotFound: no such feedback.
        Conflict: withdrawn, forgotten, or a round has it.
    """
    found = session.exec(
        select(Receipt, Feedback)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .where(Receipt.feedback_id == feedback_id, Receipt.project_id == PROJECT)
    ).first()
    if found is None:
        raise NotFound(f"No feedback {feedback_id!r} is on record.", param="feedback_id")
    receipt, feedback = locked(session, feedback_id), found[1]
    if taken_in(receipt):
        raise Conflict(
            f"Round {receipt.round_id} has {feedback_id} already ({receipt.status}); what it "
            "learned can be undone by rolling its adapter back."
        )
    if receipt.status in ("withdrawn", "forgotten"):
        raise Conflict(f"{feedback_id} was {receipt.status}; there is nothing left to decide.")
    return receipt, feedback


def check(
    settings: FeedbackSettings,
    feedback: Feedback,
    *,
    decision: Decision,
    correction: str | None,
    reason: str | None,
) -> None:
    """Refuse a decision that makes no sense.

    Raises:
        Invalid, TooLarge: names the field.
    """
    if (decision == "edit") != (correction is not None):
        raise Invalid(
            "An `edit` needs `correction`, the answer as it should have been; other decisions "
            "take none.",
            param="correction",
        )
    if reason is not None:
        checked(reason, "reason", max_bytes=settings.max_text_bytes)
    if correction is not None:
        if not correction.strip():
            raise Invalid("`correction` is empty.", param="correction")
        checked(correction, "correction", max_bytes=settings.max_text_bytes)
        if feedback.exchange_id is None:
            raise Invalid("This is about a whole conversation, so there is no answer to edit.")


def listed(session: Session, receipt: Receipt, feedback: Feedback) -> ReviewItem:
    """Return the item of the review queue, locked; what nobody had to review gets one now."""
    query = select(ReviewItem).where(ReviewItem.feedback_id == feedback.id).with_for_update()
    found = session.exec(query.execution_options(populate_existing=True)).first()
    if found is None:
        about = session.get(Exchange, feedback.exchange_id) if feedback.exchange_id else None
        found = ReviewItem(
            feedback_id=feedback.id,
            lane={"waiting": "accepted", "refused": "refused"}.get(receipt.status, "waiting"),
            kind=_kind(feedback),
            rating=feedback.rating,
            person_id=feedback.person_id,
            adapter_id=about.adapter_id if about else None,
            received_at=feedback.received_at,
        )
        session.add(found)
        session.flush()
    return found


def refuse_late(session: Session, item: ReviewItem, version: int | None) -> None:
    """Refuse a decision on what somebody has decided since it was seen.

    Raises:
        Conflict: says who, and what.
    """
    if version is None or version == item.version:
        return
    last = actions.last(session, item.feedback_id)
    said = f"{last.reviewer} decided it ({last.decision})" if last else "it was decided"
    raise Conflict(
        f"Since you saw {item.feedback_id}, {said}. Look at it again (version {item.version}), and "
        "decide anew where you do not agree.",
        param="version",
    )


def decisions(session: Session, feedback_ids: SelectOfScalar[str]) -> dict[str, Decided]:
    """Return the last decision on each piece of feedback that a reviewer has decided.

    Args:
        session: a session that only reads.
        feedback_ids: the query that names them: a list could be longer than a database binds.
    """
    query = (
        select(Review.feedback_id, Review.decision, Review.correction, Review.created_at)
        .where(col(Review.feedback_id).in_(feedback_ids))
        .order_by(col(Review.created_at), col(Review.id))
    )
    return {
        row.feedback_id: Decided(row.created_at, row.correction if row.decision == "edit" else None)
        for row in session.connection().execute(query)
    }


def _kind(feedback: Feedback) -> str:
    if feedback.correction is not None:
        return "correction"
    if feedback.preferred_over is not None:
        return "preference"
    if feedback.rating is not None:
        return "rating"
    return "comment" if feedback.signal is None else "signal"
