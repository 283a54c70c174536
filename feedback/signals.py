"""Implicit signals, read from what was delivered and from the log itself. Knows no model of them.

Delivered: whatever a client sends as `signal` (copy, regenerate, retry, edit, click, dwell,
follow_up, abandon, bounce, session_end, or a name of its own), about an answer, or about the
conversation that an answer ends. Derived: the same person asks the same again, or in other words;
another turn follows, or none does; how long the conversation is.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from feedback.columns import columns, here
from feedback.ids import portions
from feedback.models import Exchange, Feedback, Receipt, Review
from feedback.settings import PROJECT
from feedback.statements import MIDDLING

Slot = tuple[str, int, str]
"""Exchange, choice and person: what one person did with one answer."""

WINDOW = 200_000
"""The newest deliveries, of which pairs and candidates are read: what bounds the time it takes."""
VOTES_WINDOW = 12_000
"""The newest votes, beside which signals are looked for."""
MOST_PER_PERSON = 50
"""Whoever floods gains nothing by it, and costs little."""
MOST_EVENTS = 50_000
"""So many deliveries are read about the answers of one query."""

ASKED_AGAIN = "log:asked_again"
REWORDED = "log:reworded"
FOLLOWED_UP = "log:followed_up"
LAST_TURN = "log:last_turn"
TURNS = "log:turns"
ACTS = frozenset({ASKED_AGAIN, REWORDED, FOLLOWED_UP})
"""What people do, and the log shows; that a conversation ends somewhere is no act."""


@dataclass
class Observed:
    """What one person did with one answer.

    Attributes:
        slot: which answer, and who.
        signals: by name, with the size where there is one: seconds, turns.
        delivered: ids of the deliveries about this very answer.
        satisfied: what they said of it, where they voted.
    """

    slot: Slot
    signals: dict[str, float | None] = field(default_factory=dict)
    delivered: list[str] = field(default_factory=list)
    satisfied: bool | None = None

    @property
    def acted(self) -> bool:
        """Whether the person did anything but read."""
        return bool(self.delivered) or not ACTS.isdisjoint(self.signals)


def pairs(session: Session, *, most: int, before: float | None = None) -> list[Observed]:
    """Return the newest answers that have both a vote and a signal of the same person.

    Those about which something was delivered come first; what is left of `most` is filled with
    votes beside which only the log shows something.

    Args:
        session: a session that only reads.
        most: so many at most.
        before: of votes that came before this time alone, in Unix seconds.
    """
    found: dict[Slot, Observed] = {}
    for delivered in (True, False):
        left = most - len(found)
        if left > 0:
            votes = _votes(delivered=delivered, before=before).limit(left)
            for row in session.connection().execute(votes).all():
                slot = (row.exchange_id, row.choice, row.person_id)
                # Newest first: the first vote that is met is the one in force.
                satisfied = row.correction is None and row.rating > MIDDLING
                found.setdefault(slot, Observed(slot, satisfied=satisfied))
    observed = _few_of_each(found.values())
    observe(session, observed)
    return [one for one in observed if one.acted]


def unvoted(session: Session, *, most: int) -> list[Observed]:
    """Return the newest answers with a delivered signal that waits, and no vote of that person.

    Args:
        session: a session that only reads.
        most: so many at most.
    """
    query = (
        columns(Feedback.exchange_id, Feedback.choice, Feedback.person_id)
        .select_from(Feedback)
        .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
        .where(
            here(Feedback.project_id),
            col(Feedback.id) > window(),
            col(Feedback.signal).is_not(None),
            col(Feedback.exchange_id).is_not(None),
            col(Receipt.status) == "waiting",
            col(Receipt.round_id).is_(None),
            ~_voted(),
        )
        .order_by(col(Feedback.id).desc())
        .limit(4 * most)  # several signals are about one answer
    )
    slots: dict[Slot, None] = {}
    for row in session.connection().execute(query).all():
        slots[row.exchange_id, row.choice, row.person_id] = None
    observed = _few_of_each(Observed(slot) for slot in list(slots)[:most])
    observe(session, observed)
    return observed


def observe(session: Session, observed: Sequence[Observed]) -> None:
    """Fill in the signals of answers, delivered and derived.

    Args:
        session: a session that only reads.
        observed: what is filled in; the slots are known.
    """
    of_exchange: dict[str, list[Observed]] = defaultdict(list)
    for one in observed:
        of_exchange[one.slot[0]].append(one)
    for ids in portions(of_exchange):
        ending = _derive(session, ids, of_exchange)
        _deliver(session, ids, of_exchange, ending)


def _votes(*, delivered: bool, before: float | None) -> Select[Any]:
    clicked = aliased(Feedback)
    beside = exists().where(
        col(clicked.exchange_id) == col(Feedback.exchange_id),
        col(clicked.choice) == col(Feedback.choice),
        col(clicked.person_id) == col(Feedback.person_id),
        col(clicked.signal).is_not(None),
    )
    refused = exists().where(
        col(Review.feedback_id) == col(Feedback.id), col(Review.decision) == "refuse"
    )
    return (
        columns(
            Feedback.exchange_id,
            Feedback.choice,
            Feedback.person_id,
            Feedback.rating,
            Feedback.correction,
        )
        .select_from(Receipt)
        .join(Feedback, col(Receipt.feedback_id) == Feedback.id)
        .where(
            col(Receipt.project_id) == PROJECT,
            col(Receipt.teaches),
            col(Receipt.feedback_id) > _votes_window(),
            (col(Feedback.rating) != MIDDLING) | col(Feedback.correction).is_not(None),
            col(Feedback.exchange_id).is_not(None),
            col(Receipt.status).not_in(["withdrawn", "forgotten"]),
            ~refused,
            *(() if before is None else (col(Feedback.received_at) < before,)),
            beside if delivered else ~beside,
        )
        .order_by(col(Receipt.feedback_id).desc())
    )


def _voted() -> ColumnElement[bool]:
    """Whether the same person voted on the same answer."""
    vote, fate = aliased(Feedback), aliased(Receipt)
    return exists().where(
        col(vote.exchange_id) == col(Feedback.exchange_id),
        col(vote.choice) == col(Feedback.choice),
        col(vote.person_id) == col(Feedback.person_id),
        col(vote.rating).is_not(None)
        | col(vote.correction).is_not(None)
        | col(vote.preferred_over).is_not(None),
        col(fate.feedback_id) == col(vote.id),
        col(fate.status).not_in(["withdrawn", "forgotten"]),
    )


def window() -> ColumnElement[str]:
    """Return the id at which the newest deliveries start; ids sort by time."""
    recent = aliased(Feedback)
    start = columns(recent.id).order_by(col(recent.id).desc()).offset(WINDOW).limit(1)
    return func.coalesce(start.scalar_subquery(), "")


def _votes_window() -> ColumnElement[str]:
    """The id at which the newest votes start."""
    recent = aliased(Receipt)
    newest = columns(recent.feedback_id).where(
        col(recent.project_id) == PROJECT, col(recent.teaches)
    )
    start = newest.order_by(col(recent.feedback_id).desc()).offset(VOTES_WINDOW).limit(1)
    return func.coalesce(start.scalar_subquery(), "")


def _few_of_each(observed: Iterable[Observed]) -> list[Observed]:
    counts: Counter[str] = Counter()
    kept = []
    for one in observed:
        counts[one.slot[2]] += 1
        if counts[one.slot[2]] <= MOST_PER_PERSON:
            kept.append(one)
    return kept


def _derive(
    session: Session, ids: Sequence[str], of_exchange: dict[str, list[Observed]]
) -> dict[str, list[Observed]]:
    """What the log shows; returns who is at the end of which conversation."""
    later = aliased(Exchange)
    last_asked = (
        columns(func.max(later.created_at))
        .where(
            col(later.project_id) == col(Exchange.project_id),
            col(later.prompt_hash) == col(Exchange.prompt_hash),
            col(later.person_id) == col(Exchange.person_id),
        )
        .scalar_subquery()
    )
    query = columns(
        Exchange.id,
        Exchange.person_id,
        Exchange.conversation_id,
        Exchange.turn,
        Exchange.created_at,
        last_asked.label("last_asked"),
    ).where(col(Exchange.id).in_(ids))
    rows = session.connection().execute(query).all()
    turns = _turns(session, {row.conversation_id for row in rows if row.conversation_id})
    ending: dict[str, list[Observed]] = defaultdict(list)
    for row in rows:
        seen: dict[str, float | None] = {}
        if row.last_asked > row.created_at:
            seen[ASKED_AGAIN] = None
        conversation = turns.get((row.conversation_id, row.person_id))
        if conversation:
            last_turn = max(conversation)
            prompts, last_at = conversation.get(row.turn, (1, 0.0))
            if prompts > 1 and last_at > row.created_at:
                seen[REWORDED] = None
            seen[FOLLOWED_UP if last_turn > row.turn else LAST_TURN] = None
            seen[TURNS] = float(len(conversation))
        for one in of_exchange[row.id]:
            if one.slot[2] == row.person_id:  # of others, the log shows nothing
                one.signals |= seen
                if LAST_TURN in seen:
                    ending[row.conversation_id].append(one)
    return ending


def _turns(
    session: Session, conversations: set[str]
) -> dict[tuple[str, str], dict[int, tuple[int, float]]]:
    """Per conversation and person, each turn: how many prompts, and when the last one."""
    found: dict[tuple[str, str], dict[int, tuple[int, float]]] = defaultdict(dict)
    for some in portions(conversations):
        query = (
            columns(
                Exchange.conversation_id,
                Exchange.person_id,
                Exchange.turn,
                func.count(func.distinct(Exchange.prompt_hash)).label("prompts"),
                func.max(Exchange.created_at).label("last_at"),
            )
            .where(
                col(Exchange.project_id) == PROJECT,
                col(Exchange.conversation_id).in_(some),
                col(Exchange.origin) != "task",
            )
            .group_by(col(Exchange.conversation_id), col(Exchange.person_id), col(Exchange.turn))
        )
        for row in session.connection().execute(query).all():
            place = found[row.conversation_id, row.person_id]
            place[row.turn] = (row.prompts, row.last_at)
    return found


def _deliver(
    session: Session,
    ids: Sequence[str],
    of_exchange: dict[str, list[Observed]],
    ending: dict[str, list[Observed]],
) -> None:
    """What clients told; of one signal told twice the last counts."""
    by_slot = {one.slot: one for name in ids for one in of_exchange[name]}
    about_answers = _told(col(Feedback.exchange_id).in_(ids))
    for row in session.connection().execute(about_answers).all():
        one = by_slot.get((row.exchange_id, row.choice, row.person_id))
        if one is not None:
            one.signals[row.signal] = row.body.get("value")
            one.delivered.append(row.id)
    for some in portions(ending):
        about_sessions = _told(
            col(Feedback.conversation_id).in_(some) & col(Feedback.exchange_id).is_(None)
        )
        for row in session.connection().execute(about_sessions).all():
            for one in ending[row.conversation_id]:
                if one.slot[2] == row.person_id:
                    one.signals[row.signal] = row.body.get("value")


def _told(about: ColumnElement[bool]) -> Select[Any]:
    return (
        columns(
            Feedback.id,
            Feedback.exchange_id,
            Feedback.conversation_id,
            Feedback.choice,
            Feedback.person_id,
            Feedback.signal,
            Feedback.body,
        )
        .select_from(Feedback)
        .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
        .where(
            about,
            here(Feedback.project_id),
            col(Feedback.signal).is_not(None),
            col(Receipt.status).not_in(["withdrawn", "forgotten"]),
        )
        .order_by(col(Feedback.told_at), col(Feedback.event_id))
        .limit(MOST_EVENTS)
    )
