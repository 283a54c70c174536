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
from feedback.ids import AT_ONCE, portions
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
    beside: dict[Slot, Observed] = {}
    alone: dict[Slot, Observed] = {}
    # In parts, since the first may be enough; and each slot once, since one person may have voted
    # on one answer ten thousand times.
    for rows in session.connection().execute(_votes(before)).partitions(AT_ONCE):
        fresh: dict[Slot, Observed] = {}
        for row in rows:
            slot = (row.exchange_id, row.choice, row.person_id)
            if slot not in beside and slot not in alone:
                # Newest first: the first vote that is met is the one in force.
                satisfied = row.correction is None and row.rating > MIDDLING
                fresh.setdefault(slot, Observed(slot, satisfied=satisfied))
        clicked = _slots(session, fresh, col(Feedback.signal).is_not(None))
        for slot, one in fresh.items():
            (beside if slot in clicked else alone)[slot] = one
        if len(beside) >= most:
            break
    observed = _few_of_each([*beside.values(), *alone.values()][:most])
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
        )
        .order_by(col(Feedback.id).desc())
    )
    voted: dict[Slot, bool] = {}
    left = 4 * most  # several signals are about one answer
    for rows in session.connection().execute(query).partitions(AT_ONCE):
        slots = [(row.exchange_id, row.choice, row.person_id) for row in rows]
        fresh = dict.fromkeys(slot for slot in slots if slot not in voted)
        votes = _slots(session, fresh, _is_vote())
        voted |= {slot: slot in votes for slot in fresh}
        left -= sum(not voted[slot] for slot in slots)
        if left <= 0 or len(voted) - sum(voted.values()) >= most:
            break
    free = [slot for slot, has in voted.items() if not has]
    observed = _few_of_each(Observed(slot) for slot in free[:most])
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


def _votes(before: float | None) -> Select[Any]:
    """The newest votes that nobody took back or refused."""
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
        )
        .order_by(col(Receipt.feedback_id).desc())
    )


def _is_vote() -> ColumnElement[bool]:
    return (
        col(Feedback.rating).is_not(None)
        | col(Feedback.correction).is_not(None)
        | col(Feedback.preferred_over).is_not(None)
    )


def _slots(session: Session, slots: Iterable[Slot], of: ColumnElement[bool]) -> set[Slot]:
    """Who said something of a kind of these answers, among others, and did not take it back.

    Asked of many at once, and of each answer once: what was said of one is read from end to end.
    """
    found: set[Slot] = set()
    for some in portions({slot[0] for slot in slots}):
        query = (
            columns(Feedback.exchange_id, Feedback.choice, Feedback.person_id)
            .distinct()
            .select_from(Feedback)
            .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
            .where(
                col(Feedback.exchange_id).in_(some),
                of,
                col(Receipt.status).not_in(["withdrawn", "forgotten"]),
            )
        )
        found.update(map(tuple, session.connection().execute(query)))
    return found


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
