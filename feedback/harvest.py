"""Accepted feedback, handed to one round at a time. Knows no model and no example.

A claim is a mark on the receipts, so a round that dies loses nothing: the next attempt finds the
same claim, with what each word counts, and `release` gives it back.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import and_, func, update
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from feedback import receipts, review, trust, votes
from feedback.claims import (
    TEXT,
    Marks,
    claimable,
    free,
    held_by,
    rivals,
    said_again,
    same_feedback,
    write_receipts,
)
from feedback.columns import as_text, columns, decoded, uncollected
from feedback.models import Exchange, Feedback, Receipt, Status
from feedback.passed_over import asked_before, passed_over
from feedback.settings import FeedbackSettings
from feedback.signals_labels import MOST_LABELS, Label, labels
from feedback.standing import Standing, assess, expected_noise
from feedback.statements import MIDDLING, recent
from feedback.store import Store


class Word(NamedTuple):
    """What one delivery says of one answer, with everything needed to learn from it.

    Attributes:
        feedback_id: the delivery.
        person_id: who said so.
        messages: the conversation before the answer.
        answer: the answer it is about.
        adapter_id: which adapter gave that answer.
        rating: 0 (worst) to 1 (best), or None; of signals, the probability of satisfaction.
        correction: the answer as it should have been, a reviewer's edit included.
        accepted_by: ``reviewer``, ``quorum``, ``policy`` or ``signal``.
        worse: answers to the same prompt that the person liked less: regenerated away, or named.
        weight: how much it counts, from 0 to 1.
        right: the probability that it is right, where anything tells.
        also: further deliveries that it rests on: signals come one by one.
        decided_at: when a reviewer accepted it, Unix seconds; None where nobody did.
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
    weight: float = 1.0
    right: float | None = None
    also: tuple[str, ...] = ()
    decided_at: float | None = None

    @property
    def kind(self) -> str:
        """What was said, in one word."""
        if self.accepted_by == trust.SIGNAL:
            return "signal"
        if self.correction is not None:
            return "correction"
        return "preference" if self.rating is None else "rating"


@dataclass(frozen=True)
class Weights:
    """How much everybody's word counts, and what signals say where nobody voted."""

    standing: Standing = field(default_factory=Standing)
    labels: Sequence[Label] = ()


@dataclass(frozen=True)
class Fate:
    """What a round did with one piece of feedback."""

    status: Status
    reason: str
    adapter_id: str | None = None
    role: str | None = None


def available(session: Session, *, since: float = 0.0, most: int | None = None) -> int:
    """Return how many pieces of feedback a round could claim now.

    Signals are not among them: they ride along with votes, and make no round due.

    Args:
        session: of the store.
        since: only those that came, or were accepted, after this time (Unix seconds).
        most: no more are counted, where more make no difference.
    """
    found = (
        columns(Receipt.feedback_id)
        .select_from(Receipt)
        .join(Feedback, same_feedback())
        .where(*claimable(), col(Receipt.updated_at) > since)
        .limit(most)
    )
    return session.exec(select_rows(func.count()).select_from(found.subquery())).one()


@uncollected()
def weigh(session: Session, settings: FeedbackSettings) -> Weights:
    """Work out what everybody's word counts. Takes a second or so, and writes nothing.

    Args:
        session: one that only reads: nobody else should have to wait for this.
        settings: whose word counts, and whether signals teach.
    """
    standing = assess(recent(session), settings, corroborate=True)
    # No more weak labels than there are votes: signals are many, and say less.
    most = available(session, most=MOST_LABELS)
    return Weights(standing, labels(session, settings, standing, most=most))


@uncollected()
def claim(
    session: Session, settings: FeedbackSettings, round_id: str, weights: Weights | None = None
) -> int:
    """Mark what this round learns from. The caller commits; calling again changes nothing.

    Votes that were replaced by later ones are refused here, with the later one named, and so are
    those that count nothing, with the reason; what goes beyond one account's share stays for
    another round.

    Args:
        session: a writing session.
        settings: the caps.
        round_id: who claims.
        weights: from `weigh`; worked out here where there are none.

    Returns:
        The number of pieces of feedback that the round holds.
    """
    held = session.exec(
        select_rows(func.count()).select_from(Receipt).where(*held_by(round_id))
    ).one()
    if held:
        return held
    if weights is None:
        weights = weigh(session, settings)
    standing = weights.standing
    trust.settle(session, settings, standing)
    query = (
        columns(
            Feedback.id,
            Feedback.person_id,
            Feedback.exchange_id,
            Feedback.choice,
            Receipt.accepted_by,
            said_again().label("again"),
        )
        .select_from(Receipt)
        .join(Feedback, same_feedback())
        .where(*claimable())
        .order_by(col(Feedback.told_at), col(Feedback.event_id))
        .with_for_update(of=Receipt)
    )
    rows = session.connection().execute(query).all()
    replaced = votes.superseded(_rivals(session, rows))
    voted = {(row.exchange_id, row.choice, row.person_id) for row in rows}
    weak = [label for label in weights.labels if label.slot not in voted][: len(rows)]
    unreviewed = [
        (row.id, row.person_id)
        for row in rows
        if row.accepted_by is None and row.id not in replaced
    ]
    clicks = [(label.feedback_ids[0], label.person_id) for label in weak]
    beyond = trust.over_cap([*unreviewed, *clicks], settings, round_size=len(rows))
    marks = Marks(round_id)
    for row in rows:
        if row.id in replaced:
            marks.refuse(row.id, receipts.replaced_by(replaced[row.id]), role=receipts.REPLACED)
            continue
        if row.id in beyond:
            marks.leave(row.id, "Beyond one account's share of a round; waits for the next one.")
            continue
        weighed = standing.weigh(row.id)
        if row.accepted_by == trust.REVIEWER:
            marks.take(row.id, 1.0, 1.0)
        elif row.accepted_by == trust.QUORUM:
            marks.take(row.id, weighed.share, weighed.right)
        elif weighed.weight:
            marks.take(row.id, weighed.weight, weighed.right)
        else:
            marks.refuse(row.id, f"It does not count: {weighed.reason}.")
    unclaimed = free(session, [each for label in weak for each in label.feedback_ids])
    for label in weak:
        if label.feedback_ids[0] not in beyond and unclaimed.issuperset(label.feedback_ids):
            for feedback_id in label.feedback_ids:
                marks.take(feedback_id, label.weight, label.satisfied, accepted_by=trust.SIGNAL)
    return marks.write(session)


@uncollected()
def words(session: Session, round_id: str) -> list[Word]:
    """Return what the round holds, in a fixed order."""
    query = (
        columns(
            Feedback.id,
            Feedback.person_id,
            Feedback.exchange_id,
            Feedback.choice,
            Feedback.rating,
            Feedback.correction,
            as_text(Exchange.messages),
            as_text(Exchange.choices),
            Exchange.adapter_id,
            Receipt.accepted_by,
            Receipt.weight,
            Receipt.probability,
            Feedback.preferred_over,
            said_again().label("again"),
            # In this order: whether somebody asked before is looked up where it matters.
            and_(
                col(Feedback.rating) > MIDDLING,
                col(Exchange.person_id) == Feedback.person_id,
                asked_before(),
            ).label("liked_again"),
        )
        .select_from(Receipt)
        .join(Feedback, same_feedback())
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .where(*held_by(round_id))
        .order_by(col(Feedback.id))
    )
    rows = session.connection().execute(query).all()
    decided = review.decisions(
        session, select_rows(Receipt.feedback_id).where(Receipt.round_id == round_id)
    )
    again = {row.id: row.exchange_id for row in rows if row.liked_again}
    named = {row.id: row.preferred_over for row in rows if row.preferred_over is not None}
    worse = passed_over(session, again, named)
    # A delivery may hold a vote that still counts beside one that was cast again.
    in_force = votes.in_force(_rivals(session, rows))

    def counts(row: Any, *kinds: str) -> bool:
        return row.id not in in_force or not in_force[row.id].isdisjoint(kinds)

    signalled: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for row in rows:
        if row.accepted_by == trust.SIGNAL:
            signalled[row.exchange_id, row.choice, row.person_id].append(row.id)
    leads = {ids[0]: tuple(ids[1:]) for ids in signalled.values()}
    found = []
    for row in rows:
        name, accepted_by = row.id, row.accepted_by
        if accepted_by == trust.SIGNAL and name not in leads:
            continue
        rating = row.rating if counts(row, "rating") else None
        correction = row.correction if counts(row, "correction") else None
        answer = str(decoded(row.choices)[row.choice]["text"])
        passed: tuple[str, ...] = ()
        if name in worse and counts(row, "rating", "preferred_over"):
            passed = tuple(text for text in worse[name] if text != answer)
        decision = decided.get(name, review.UNDECIDED)
        found.append(
            Word(
                feedback_id=name,
                person_id=row.person_id,
                messages=tuple(decoded(row.messages)),
                answer=answer,
                adapter_id=row.adapter_id,
                rating=row.probability if name in leads else rating,
                correction=decision.correction or correction,
                accepted_by=accepted_by or trust.POLICY,
                worse=passed,
                weight=1.0 if row.weight is None else row.weight,
                right=_right(row),
                also=leads.get(name, ()),
                decided_at=decision.at if accepted_by == trust.REVIEWER else None,
            )
        )
    return found


@contextmanager
def claimed_for_a_look(
    store: Store, settings: FeedbackSettings, round_id: str
) -> Iterator[Session]:
    """Show what a round would learn from if it claimed now, and give everything back.

    Args:
        store: where the feedback is.
        settings: the caps, and whose word counts.
        round_id: names the claim; there need be no such round.

    Yields:
        A session in which the round holds its feedback. It is rolled back in the end, and nobody
        else sees the claim.
    """
    with store.session() as session:
        weights = weigh(session, settings)
    with store.session(write=True) as session:
        claim(session, settings, round_id, weights)
        try:
            yield session
        finally:
            session.rollback()


def noise(words: Sequence[Word]) -> dict[str, dict[str, Any]]:
    """Return, per kind of feedback, the share that is expected to be wrong, for the learner.

    `wrong_share` is None where too little tells; `judged` is how many words it rests on.
    """
    rights: dict[str, list[float | None]] = defaultdict(list)
    for word in words:
        rights[word.kind].append(word.right)
    return {kind: asdict(expected_noise(rights[kind])) for kind in sorted(rights)}


def finish(session: Session, round_id: str, fates: Mapping[str, Fate]) -> None:
    """Write what became of the round's feedback. The caller commits.

    Signals that make one word share its fate. Where the gate refused a round they are refused with
    it: nobody reviews clicks.
    """
    session.flush()
    query = (
        columns(
            Receipt.feedback_id,
            Receipt.status,
            Receipt.reason,
            Receipt.adapter_id,
            Receipt.role,
            Receipt.accepted_by,
            Feedback.exchange_id,
            Feedback.choice,
            Feedback.person_id,
        )
        .select_from(Receipt)
        .join(Feedback, same_feedback())
        .where(*held_by(round_id))
        .with_for_update(of=Receipt)
    )
    held = session.connection().execute(query).all()
    shared: dict[tuple[object, ...], Fate] = {}
    for row in held:
        if row.accepted_by == trust.SIGNAL and row.feedback_id in fates:
            shared.setdefault(_slot(row), fates[row.feedback_id])
    written = []
    for row in held:
        fate, accepted_by = fates.get(row.feedback_id), row.accepted_by
        if accepted_by == trust.SIGNAL:
            fate = fate or shared.get(_slot(row))
            if fate is not None and fate.status == "review":
                fate = Fate("refused", f"The gate refused round {round_id}.")
            if fate is None or fate.status == "waiting":
                accepted_by = None
        kept = round_id if fate is not None and fate.status != "waiting" else None
        if fate is None:
            fate = Fate(row.status, row.reason, row.adapter_id, row.role)
        told = fate.status, fate.reason, fate.adapter_id, fate.role
        written.append((row.feedback_id, kept, accepted_by, *told))
    names = ("round_id", "accepted_by", "status", "reason", "adapter_id", "role")
    write_receipts(session, dict.fromkeys(names, TEXT), written)


def release(session: Session, round_id: str, reason: str) -> int:
    """Give back what a round held, so that another can claim it. The caller commits."""
    kept = func.nullif(Receipt.accepted_by, trust.SIGNAL)
    return session.exec(
        update(Receipt)
        .where(*held_by(round_id))
        .values(round_id=None, reason=reason, accepted_by=kept, updated_at=time.time())
    ).rowcount


def _rivals(session: Session, rows: Sequence[Any]) -> list[Any]:
    return rivals(session, dict.fromkeys(row.exchange_id for row in rows if row.again))


def _slot(row: Any) -> tuple[object, ...]:
    return row.exchange_id, row.choice, row.person_id


def _right(row: Any) -> float | None:
    if row.accepted_by == trust.SIGNAL and row.probability is not None:
        return float(max(row.probability, 1 - row.probability))
    return None if row.probability is None else float(row.probability)
