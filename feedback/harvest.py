"""Accepted feedback, handed to one round at a time. Knows no model and no example.

A claim is a mark on the receipts, so a round that dies loses nothing: the next attempt finds the
same claim, and `release` gives it back.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, union, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from feedback import receipts, review, trust, votes
from feedback.models import Exchange, Feedback, Receipt, Review, Status
from feedback.settings import PROJECT, FeedbackSettings


@dataclass(frozen=True)
class Word:
    """What one delivery says of one answer, with everything needed to learn from it.

    Attributes:
        feedback_id: the delivery.
        person_id: who said so.
        messages: the conversation before the answer.
        answer: the answer it is about.
        adapter_id: which adapter gave that answer.
        rating: 0 (worst) to 1 (best), or None.
        correction: the answer as it should have been, a reviewer's edit included.
        accepted_by: ``reviewer``, ``quorum`` or ``policy``.
        worse: answers to the same prompt that the person liked less: regenerated away, or named.
    """

    feedback_id: str
    person_id: str
    messages: tuple[dict[str, str], ...]
    answer: str
    adapter_id: str
    rating: float | None
    correction: str | None
    accepted_by: str
    worse: tuple[str, ...]


@dataclass(frozen=True)
class Fate:
    """What a round did with one piece of feedback."""

    status: Status
    reason: str
    adapter_id: str | None = None
    role: str | None = None


def available(session: Session, *, since: float = 0.0) -> int:
    """Return how many pieces of feedback a round could claim now.

    Args:
        session: of the store.
        since: only those that came, or were accepted, after this time (Unix seconds).
    """
    query = select(func.count()).select_from(Receipt).join(Feedback, _same_feedback())
    return session.exec(query.where(*_claimable(), col(Receipt.updated_at) > since)).one()


def claim(session: Session, settings: FeedbackSettings, round_id: str) -> int:
    """Mark what this round learns from. The caller commits; calling again changes nothing.

    Votes that were replaced by later ones are refused here, with the later one named; what goes
    beyond one account's share stays for another round.

    Returns:
        The number of pieces of feedback that the round holds.
    """
    held = _held(session, round_id)
    if held:
        return len(held)
    trust.settle(session, settings)
    rows = list(
        session.exec(
            select(Receipt, Feedback)
            .join(Feedback, _same_feedback())
            .where(*_claimable())
            .order_by(col(Feedback.told_at), col(Feedback.event_id))
            .with_for_update(of=Receipt)
            .execution_options(populate_existing=True)
        )
    )
    replaced = votes.superseded(_siblings(session, *_claimable()))
    unreviewed = [
        (feedback.id, feedback.person_id)
        for receipt, feedback in rows
        if receipt.accepted_by is None and feedback.id not in replaced
    ]
    beyond = trust.over_cap(unreviewed, settings, round_size=len(rows))
    now = time.time()
    claimed = 0
    for receipt, feedback in rows:
        if feedback.id in replaced:
            receipts.replace(receipt, replaced[feedback.id])
        elif feedback.id in beyond:
            receipt.reason = "Beyond one account's share of a round; waits for the next one."
        else:
            receipt.round_id = round_id
            claimed += 1
        receipt.updated_at = now
        session.add(receipt)
    return claimed


def words(session: Session, round_id: str) -> list[Word]:
    """Return what the round holds, in a fixed order."""
    rows = session.exec(
        select(Feedback, Receipt, Exchange)
        .join(Receipt, _same_feedback())
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .where(Receipt.round_id == round_id, Receipt.status == "waiting")
        .order_by(col(Feedback.id))
    ).all()
    edited = review.edits(session, select(Receipt.feedback_id).where(Receipt.round_id == round_id))
    # A delivery may hold a vote that still counts beside one that was cast again.
    held = col(Receipt.round_id) == round_id
    counts = votes.in_force(_siblings(session, held))
    compared = [
        (feedback, exchange)
        for feedback, _, exchange in rows
        if counts[feedback.id] & {"rating", "preferred_over"}
    ]
    worse = _worse(session, round_id, compared)
    return [
        Word(
            feedback_id=feedback.id,
            person_id=feedback.person_id,
            messages=tuple(exchange.messages),
            answer=_answer(exchange, feedback.choice),
            adapter_id=exchange.adapter_id,
            rating=feedback.rating if "rating" in counts[feedback.id] else None,
            correction=edited.get(
                feedback.id,
                feedback.correction if "correction" in counts[feedback.id] else None,
            ),
            accepted_by=receipt.accepted_by or trust.POLICY,
            worse=worse.get(feedback.id, ()),
        )
        for feedback, receipt, exchange in rows
    ]


def finish(session: Session, round_id: str, fates: Mapping[str, Fate]) -> None:
    """Write what became of the round's feedback. The caller commits."""
    now = time.time()
    for receipt in _held(session, round_id):
        fate = fates.get(receipt.feedback_id)
        if fate is None:
            receipt.round_id = None
        else:
            receipt.status = fate.status
            receipt.reason = fate.reason
            receipt.adapter_id = fate.adapter_id
            receipt.role = fate.role
            receipt.round_id = round_id if fate.status != "waiting" else None
        receipt.updated_at = now
        session.add(receipt)


def release(session: Session, round_id: str, reason: str) -> int:
    """Give back what a round held, so that another can claim it. The caller commits."""
    done = session.exec(
        update(Receipt)
        .where(col(Receipt.round_id) == round_id, col(Receipt.status) == "waiting")
        .values(round_id=None, reason=reason, updated_at=time.time())
    )
    return done.rowcount


def _same_feedback() -> ColumnElement[bool]:
    return col(Receipt.feedback_id) == col(Feedback.id)


def _claimable() -> tuple[ColumnElement[bool], ...]:
    edited = exists().where(
        col(Review.feedback_id) == col(Feedback.id), col(Review.decision) == "edit"
    )
    # What teaches nothing must not make a round due again and again.
    teaches = (
        (col(Feedback.rating) != trust.MIDDLING)
        | col(Feedback.correction).is_not(None)
        | col(Feedback.preferred_over).is_not(None)
        | (col(Receipt.accepted_by).is_not(None) & edited)
    )
    # A chat client's own prompt, for a title or for tags, is no conversation with anybody.
    asked_by_nobody = exists().where(
        col(Exchange.id) == col(Feedback.exchange_id), col(Exchange.origin) == "task"
    )
    return (
        col(Receipt.project_id) == PROJECT,
        col(Receipt.status) == "waiting",
        col(Receipt.round_id).is_(None),
        col(Feedback.exchange_id).is_not(None),
        ~asked_by_nobody,
        teaches,
    )


def _held(session: Session, round_id: str) -> list[Receipt]:
    return list(
        session.exec(
            select(Receipt).where(Receipt.round_id == round_id, Receipt.status == "waiting")
        )
    )


def _siblings(session: Session, *which: ColumnElement[bool]) -> list[Feedback]:
    """Every event that could replace one of these: whatever was said of the same exchanges."""
    exchanges = select(Feedback.exchange_id).join(Receipt, _same_feedback()).where(*which)
    query = (
        select(Feedback)
        .join(Receipt, _same_feedback())
        .where(
            col(Feedback.exchange_id).in_(exchanges),
            col(Receipt.status).not_in(["withdrawn", "forgotten"]),
        )
    )
    return list(session.exec(query))


def _worse(
    session: Session, round_id: str, rows: Sequence[tuple[Feedback, Exchange]]
) -> dict[str, tuple[str, ...]]:
    """The answers that a person passed over for the one they liked.

    Named with `preferred_over`, or given earlier to the same person for the same prompt and then
    regenerated: asking again and liking the second answer is a comparison.
    """
    held = (
        select(Feedback.preferred_over)
        .join(Receipt, _same_feedback())
        .where(Receipt.round_id == round_id)
    )
    # Along the index of prompts, by person: a popular prompt has been asked by everybody.
    earlier = aliased(Exchange)
    regenerated = (
        select(earlier.id)
        .join(
            Exchange,
            (col(earlier.project_id) == Exchange.project_id)
            & (col(earlier.prompt_hash) == Exchange.prompt_hash)
            & (col(earlier.person_id) == Exchange.person_id),
        )
        .join(Feedback, col(Feedback.exchange_id) == Exchange.id)
        .join(Receipt, _same_feedback())
        .where(Receipt.round_id == round_id, col(Feedback.rating) > trust.MIDDLING)
    )
    query = select(Exchange).where(col(Exchange.id).in_(union(held, regenerated)))
    others = list(session.exec(query.order_by(col(Exchange.created_at), col(Exchange.id))))
    by_id = {other.id: other for other in others}
    by_asking: dict[tuple[str, str], list[Exchange]] = defaultdict(list)
    for other in others:
        by_asking[other.prompt_hash, other.person_id].append(other)
    passed_over = {}
    for feedback, exchange in rows:
        worse = []
        if (feedback.rating or 0) > trust.MIDDLING and exchange.person_id == feedback.person_id:
            asked = by_asking[exchange.prompt_hash, exchange.person_id]
            worse = [other for other in asked if other.created_at < exchange.created_at]
        if feedback.preferred_over in by_id:
            worse.append(by_id[feedback.preferred_over])
        texts = [_answer(other, 0) for other in worse]
        answer = _answer(exchange, feedback.choice)
        distinct = tuple(dict.fromkeys(text for text in texts if text != answer))
        if distinct:
            passed_over[feedback.id] = distinct
    return passed_over


def _answer(exchange: Exchange, choice: int) -> str:
    return str(exchange.choices[choice]["text"])
