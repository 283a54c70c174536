"""Whose word counts, and how much. Knows no reviewer's screen and no trainer.

Thumbs and preferences count by themselves within a cap per account. A correction is a claim of
fact: it needs a reviewer, or enough independent accounts in good standing that say the same.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, select

from feedback import votes
from feedback.models import Exchange, Feedback, Person, Receipt, Status
from feedback.settings import PROJECT, FeedbackSettings
from feedback.words import content_words, normalised

REVIEWER = "reviewer"
QUORUM = "quorum"
POLICY = "policy"
MIDDLING = 0.5


def triage(feedback: Feedback, settings: FeedbackSettings) -> tuple[Status, str]:
    """Say where a piece of feedback goes when it arrives, and why (for its receipt)."""
    if feedback.correction is not None:
        return "review", (
            "A correction waits for a reviewer, or for "
            f"{settings.quorum_accounts} independent accounts that agree."
        )
    if feedback.rating == MIDDLING and feedback.preferred_over is None:
        return "waiting", "Kept; a rating in the very middle teaches neither yes nor no."
    if feedback.rating is not None or feedback.preferred_over is not None:
        if settings.accept_thumbs:
            return "waiting", "Waits for the next round."
        return "review", "Ratings are reviewed here before they count."
    if feedback.signal is not None or feedback.body.get("survey"):
        return "waiting", (
            "Signals and surveys are kept; they teach once enough explicit votes say what they "
            "mean."
        )
    return "review", "A remark teaches nothing by itself; a reviewer may add the right answer."


def settle(session: Session, settings: FeedbackSettings) -> int:
    """Accept the corrections on which enough independent accounts agree. The caller commits.

    Accounts are independent where they are different people; each must have been known for
    `quorum_min_age_seconds` when it spoke, so that accounts made for the purpose do not count.
    Whoever says something else by now does not count either. What a quorum accepted once and the
    gate refused is left to a reviewer: otherwise it would spoil every later round.

    Returns:
        The number of corrections accepted.
    """
    query = (
        select(Receipt, Feedback, Exchange, Person)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .join(
            Person,
            (col(Person.id) == Feedback.person_id)
            & (col(Person.project_id) == Feedback.project_id),
        )
        .where(
            Receipt.project_id == PROJECT,
            Receipt.status == "review",
            col(Receipt.accepted_by).is_(None),
            col(Feedback.correction).is_not(None),
        )
        .order_by(col(Receipt.feedback_id))
        # A reviewer who decides at this moment goes first or waits.
        .with_for_update(of=Receipt)
        .execution_options(populate_existing=True)
    )
    rows = session.exec(query).all()
    replaced = votes.superseded([feedback for _, feedback, _, _ in rows])
    claims: dict[tuple[str, ...], list[tuple[Receipt, Feedback, Person]]] = defaultdict(list)
    for receipt, feedback, exchange, person in rows:
        if feedback.id in replaced:
            continue
        claims[claim(exchange.messages, feedback.correction or "")].append(
            (receipt, feedback, person)
        )
    accepted = 0
    for agreeing in claims.values():
        aged = {
            person.id
            for _, feedback, person in agreeing
            if feedback.received_at - person.first_seen_at >= settings.quorum_min_age_seconds
        }
        if len(aged) < settings.quorum_accounts:
            continue
        for receipt, _, person in agreeing:
            if person.id in aged:
                receipt.status = "waiting"
                receipt.accepted_by = QUORUM
                receipt.reason = (
                    f"{len(aged)} independent accounts agree; waits for the next round."
                )
                receipt.updated_at = time.time()
                session.add(receipt)
                accepted += 1
    return accepted


def claim(messages: Sequence[dict[str, str]], correction: str) -> tuple[str, ...]:
    """Return what a correction claims, equal for people who say the same of the same thing.

    A correction that names its subject (it shares content words with the question) stands for
    itself, however the question was put. One that does not ("yes", "9 to 5") only means something
    beside its question, and beside what was asked before it.
    """
    asked = [message["content"] for message in messages if message["role"] == "user"]
    said = normalised(correction)
    if asked and content_words(asked[-1]) & content_words(correction):
        return (said,)
    return (said, *map(normalised, asked))


def over_cap(
    votes: Iterable[tuple[str, str]], settings: FeedbackSettings, *, round_size: int
) -> set[str]:
    """Return the unreviewed feedback that goes beyond one account's share of a round.

    Args:
        votes: (feedback id, person id) of what nobody reviewed, oldest first.
        settings: the cap is ``max(account_cap_minimum, account_cap_share x round_size)``.
        round_size: all the feedback that the round could claim.
    """
    cap = max(settings.account_cap_minimum, int(settings.account_cap_share * round_size))
    seen: Counter[str] = Counter()
    beyond = set()
    for feedback_id, person_id in votes:
        seen[person_id] += 1
        if seen[person_id] > cap:
            beyond.add(feedback_id)
    return beyond
