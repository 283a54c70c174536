"""What exports for training hold: each word in force and accepted, with what it is about.

Knows no format, no file and no screen.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from feedback import votes
from feedback.formats import logged
from feedback.models import Exchange, Feedback, Receipt, Review
from feedback.settings import PROJECT

PAGE = 200
ACCEPTED = ("waiting", "used", "held_out")
UNREVIEWED = "review"


@dataclass(frozen=True)
class Word:
    """One delivery of feedback, and the exchange it is about.

    Attributes:
        feedback_id: the delivery.
        messages: the conversation before the answer.
        answer: the answer it is about.
        steps: the answer's steps, where they were judged one by one.
        rating: 0 (worst) to 1 (best), or None.
        correction: the answer as it should have been, a reviewer's edit included.
        worse: the answer that the person liked less, where they compared two.
        survey: answers to questions, by question.
    """

    feedback_id: str
    messages: list[dict[str, Any]]
    answer: str
    steps: tuple[str, ...] = ()
    rating: float | None = None
    correction: str | None = None
    worse: str | None = None
    survey: dict[str, Any] | None = None

    def shown(self) -> list[str]:
        """The answers to learn: the correction, or else the answer where it was liked."""
        if self.correction is not None:
            return [self.correction]
        liked = (self.rating is not None and self.rating > 0.5) or self.worse is not None
        return [self.answer] if liked else []

    def pairs(self) -> list[tuple[str, str]]:
        """The better and the worse answer of each comparison."""
        pairs = []
        if self.correction is not None and self.correction != self.answer:
            pairs.append((self.correction, self.answer))
        if self.worse is not None and self.worse != self.answer:
            pairs.append((self.answer, self.worse))
        return pairs


def words(session: Session, *, unreviewed: bool = False) -> Iterator[Word]:
    """Yield every word that counts, in a fixed order; a page of exchanges in memory at a time.

    What was replaced by a later vote, refused, withdrawn or forgotten is left out, and so is what is
    about an answer whose text is gone or cannot be read.

    Args:
        session: one that sees a single moment (`heed.freeze`).
        unreviewed: take along what still waits for a reviewer.
    """
    wanted = (*ACCEPTED, UNREVIEWED) if unreviewed else ACCEPTED
    last = ""
    while True:
        page = session.exec(
            select(Exchange)
            .where(
                Exchange.project_id == PROJECT,
                col(Exchange.id) > last,
                # A chat client's own prompt is no conversation with anybody.
                Exchange.origin != "task",
            )
            .order_by(col(Exchange.id))
            .limit(PAGE)
        ).all()
        if not page:
            return
        yield from _page(session, page, wanted)
        last = page[-1].id
        session.expunge_all()


def _page(session: Session, page: Sequence[Exchange], wanted: tuple[str, ...]) -> Iterator[Word]:
    ids = [exchange.id for exchange in page]
    rows = session.exec(
        select(Feedback, Receipt)
        .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
        .where(
            col(Feedback.exchange_id).in_(ids),
            col(Receipt.status).not_in(["withdrawn", "forgotten"]),
        )
        .order_by(col(Feedback.told_at), col(Feedback.event_id))
    ).all()
    said = [feedback for feedback, _ in rows]
    replaced, in_force = votes.superseded(said), votes.in_force(said)
    edits = _edits(session, ids)
    compared = {feedback.preferred_over for feedback, _ in rows if feedback.preferred_over}
    others = {
        other.id: other
        for other in session.exec(select(Exchange).where(col(Exchange.id).in_(compared)))
    }
    told: dict[str | None, list[Feedback]] = defaultdict(list)
    for feedback, receipt in rows:
        if receipt.status in wanted and feedback.id not in replaced and _usable(feedback):
            told[feedback.exchange_id].append(feedback)
    for exchange in page:
        for feedback in told[exchange.id]:
            choice = _choice(exchange, feedback.choice)
            if choice is None:
                continue
            # A delivery may hold a vote that still counts beside one that was cast again.
            counts = in_force[feedback.id]
            other = others.get(feedback.preferred_over or "")
            worse = _choice(other, 0) if other and "preferred_over" in counts else None
            correction = feedback.correction if "correction" in counts else None
            yield Word(
                feedback.id,
                exchange.messages,
                str(choice["text"]),
                tuple(choice.get("steps", ())),
                feedback.rating if "rating" in counts else None,
                edits.get(feedback.id, correction),
                str(worse["text"]) if worse else None,
                feedback.body.get("survey") if "survey" in counts else None,
            )


def _choice(exchange: Exchange, index: int) -> Mapping[str, Any] | None:
    """One answer of an exchange; None where its text is gone or cannot be read."""
    if not exchange.messages or len(logged.readable(exchange.messages)) < len(exchange.messages):
        return None
    return logged.answer(exchange.choices, index)


def _usable(feedback: Feedback) -> bool:
    try:
        logged.body(feedback.body)
    except ValueError:
        return False
    return True


def _edits(session: Session, exchanges: list[str]) -> dict[str, str]:
    """The reviewer's answer for each piece of feedback whose last decision was an edit."""
    query = (
        select(Review)
        .join(Feedback, col(Feedback.id) == Review.feedback_id)
        .where(col(Feedback.exchange_id).in_(exchanges))
        .order_by(col(Review.created_at), col(Review.id))
    )
    last = {review.feedback_id: review for review in session.exec(query)}
    return {
        name: review.correction
        for name, review in last.items()
        if review.decision == "edit" and review.correction is not None
    }
