"""Whose word counts, and how much. Knows no reviewer's screen and no trainer.

Thumbs and preferences count by themselves within a cap per account. A correction is a claim of
fact: it needs a reviewer, or enough independent accounts in good standing that say the same.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, update
from sqlmodel import Session, col

from feedback import duplicates, statements, votes
from feedback.columns import columns
from feedback.corroboration import STRANGER, Claim, claim
from feedback.ids import portions
from feedback.models import Exchange, Feedback, Person, Receipt, Status
from feedback.settings import PROJECT, FeedbackSettings
from feedback.standing import Standing, assess
from feedback.text import questions
from feedback.words import runs

REVIEWER = "reviewer"
QUORUM = "quorum"
POLICY = "policy"
SIGNAL = "signal"
MIDDLING = statements.MIDDLING
GOOD_STANDING = 0.5
"""An account whose votes say less than this does not count for a quorum."""
ROUNDING = 1e-9
"""Of log-odds: three times the same is not always what their sum is."""


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


def teaches(rating: float | None, correction: str | None, preferred_over: str | None) -> bool:
    """Whether a round could learn from a piece of feedback by itself: whether it is a vote."""
    middling = rating is None or rating == MIDDLING
    return not middling or correction is not None or preferred_over is not None


def settle(session: Session, settings: FeedbackSettings, standing: Standing | None = None) -> int:
    """Accept the corrections that independent accounts make probable enough. The caller commits.

    Probable enough is what `quorum_accounts` strangers make together, if nobody contradicts them;
    fewer do where their corrections held up before, and never fewer than `quorum_fewest`. An
    account counts where it was known for `quorum_min_age_seconds` when it spoke, had asked
    something itself that long before (`quorum_needs_own_chats`), and its votes hold up as often as
    not. Accounts under one API key that appeared within `quorum_burst_seconds` of each other count
    as one: one key may speak for any number of names; and so do those that agree with each other
    beyond chance (`quorum_circle_chance`). Whoever says something else by now does not count
    either. What a quorum accepted once and the gate refused is left to a reviewer: otherwise it
    would spoil every later round.

    Args:
        session: a writing session.
        settings: whose word counts.
        standing: everybody's standing with their corrections, where it is known already. Where it
            is not, it is worked out if so many agree that strangers would do, and fewer wait for
            somebody who knows it.

    Returns:
        The number of corrections accepted.
    """
    fewest = settings.quorum_accounts
    if standing is not None:
        fewest = min(fewest, settings.quorum_fewest)
    claims = _claims(session, settings, fewest, standing)
    agreeing = [
        said
        for said in claims.values()
        if len(set(_sources(_grown_up(said, settings), settings).values())) >= fewest
    ]
    if not agreeing:
        return 0
    if standing is None:
        standing = assess(statements.recent(session), settings, corroborate=True)
    asking = _asking_since(session, {row.person_id for said in agreeing for row in said})
    accepted = []
    for said in agreeing:
        heard = [
            row
            for row in _grown_up(said, settings)
            if standing.worth(row.person_id) >= GOOD_STANDING
            and (
                not settings.quorum_needs_own_chats
                or row.received_at - asking.get(row.person_id, row.received_at)
                >= settings.quorum_min_age_seconds
            )
        ]
        sources, odds = standing.corrections.weigh(
            {row.person_id: row.id for row in heard}, _sources(heard, settings)
        )
        if sources >= fewest and odds >= _needed(settings):
            known = "" if sources >= settings.quorum_accounts else ", which were right before,"
            reason = f"{sources} independent accounts{known} agree; waits for the next round."
            accepted += [{"b_id": row.id, "reason": reason} for row in heard]
    if accepted:
        session.connection().execute(
            update(Receipt)
            .where(col(Receipt.feedback_id) == bindparam("b_id"))
            .values(
                status="waiting",
                accepted_by=QUORUM,
                reason=bindparam("reason"),
                updated_at=time.time(),
            ),
            accepted,
        )
        session.expire_all()
    return len(accepted)


def cap(settings: FeedbackSettings, *, round_size: int) -> int:
    """Return how much unreviewed feedback of one account a round of this size takes."""
    return max(settings.account_cap_minimum, int(settings.account_cap_share * round_size))


def over_cap(
    votes: Iterable[tuple[str, str]], settings: FeedbackSettings, *, round_size: int
) -> set[str]:
    """Return the unreviewed feedback that goes beyond one account's share of a round.

    Args:
        votes: (feedback id, person id) of what nobody reviewed, oldest first.
        settings: the cap is ``max(account_cap_minimum, account_cap_share x round_size)``.
        round_size: all the feedback that the round could claim.
    """
    most = cap(settings, round_size=round_size)
    seen: Counter[str] = Counter()
    beyond = set()
    for feedback_id, person_id in votes:
        seen[person_id] += 1
        if seen[person_id] > most:
            beyond.add(feedback_id)
    return beyond


def _claims(
    session: Session, settings: FeedbackSettings, fewest: int, standing: Standing | None
) -> dict[Claim, list[Any]]:
    """What waits for a quorum, by what it claims; whoever was replaced is left out.

    What too few people say in the same words, or people whose word is not enough together, is not
    looked at any further: most corrections that wait for a reviewer are said once, and there may be
    ten thousand of them.
    """
    waits = (
        col(Receipt.project_id) == PROJECT,
        # Written out, since the index of the queue is of those in review alone.
        col(Receipt.status) == bindparam("review", "review", literal_execute=True),
        col(Receipt.accepted_by).is_(None),
        col(Feedback.correction).is_not(None),
    )
    said = (
        columns(
            Feedback.id,
            Feedback.person_id,
            Feedback.exchange_id,
            Feedback.choice,
            Feedback.correction,
        )
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .where(*waits)
    )
    waiting = session.connection().execute(said).all()
    # Alike in these words where the claim is the same, and sometimes where it is not quite.
    same = [" ".join(runs(row.correction)) for row in waiting]
    people: dict[str, set[str]] = defaultdict(set)
    for words, row in zip(same, waiting, strict=True):
        people[words].add(row.person_id)

    def enough(who: set[str]) -> bool:
        if len(who) < fewest or standing is None:
            return len(who) >= fewest
        known = sum(max(0.0, standing.corrections.log_odds(person)) for person in who)
        return len(who) >= settings.quorum_accounts or known >= _needed(settings)

    # With what the same person says of the same answer: the last of it counts.
    slots = {
        (row.exchange_id, row.choice, row.person_id)
        for words, row in zip(same, waiting, strict=True)
        if enough(people[words])
    }
    shared = [row.id for row in waiting if (row.exchange_id, row.choice, row.person_id) in slots]
    query = (
        columns(
            Feedback.id,
            Feedback.event_id,
            Feedback.exchange_id,
            Feedback.conversation_id,
            Feedback.choice,
            Feedback.person_id,
            Feedback.key_id,
            Feedback.signal,
            Feedback.correction,
            Feedback.body,
            Feedback.told_at,
            Feedback.received_at,
            Exchange.messages,
            (col(Exchange.origin) == statements.IMPORTED).label("imported"),
            Person.first_seen_at,
        )
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .join(
            Person,
            (col(Person.id) == Feedback.person_id)
            & (col(Person.project_id) == Feedback.project_id),
        )
        .order_by(col(Receipt.feedback_id))
        # A reviewer who decides at this moment goes first or waits.
        .with_for_update(of=Receipt)
    )
    rows: list[Any] = []
    for some in portions(shared):
        these = query.where(col(Receipt.feedback_id).in_(some), *waits)
        rows += session.connection().execute(these).all()
    replaced = votes.superseded(rows)
    claims: dict[Claim, list[Any]] = defaultdict(list)
    for row in rows:
        if row.id not in replaced:
            claims[claim(questions(row.messages), row.correction)].append(row)
    return claims


def _needed(settings: FeedbackSettings) -> float:
    """The log-odds that so many strangers make together."""
    return settings.quorum_accounts * STRANGER - ROUNDING


def _grown_up(said: Sequence[Any], settings: FeedbackSettings) -> list[Any]:
    minimum = settings.quorum_min_age_seconds
    return [row for row in said if row.received_at - row.first_seen_at >= minimum]


def _sources(said: Sequence[Any], settings: FeedbackSettings) -> dict[str, int]:
    return duplicates.sources(said, burst_seconds=settings.quorum_burst_seconds)


def _asking_since(session: Session, people: Collection[str]) -> dict[str, float]:
    """When each of these people first asked something themselves."""
    since: dict[str, float] = {}
    for some in portions(people):
        query = (
            columns(Exchange.person_id, func.min(Exchange.created_at))
            .where(
                col(Exchange.project_id) == PROJECT,
                col(Exchange.person_id).in_(some),
                col(Exchange.origin) != "task",
            )
            .group_by(Exchange.person_id)
        )
        since |= {person: at for person, at in session.connection().execute(query)}
    return since
