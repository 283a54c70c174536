"""What one person talked about, read back from the log: their conversations, turn by turn.

Only ever one person's own: a conversation's id alone, which may be guessed or passed on, shows
nothing.
"""

from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from feedback.ids import portions
from feedback.models import Exchange, Feedback
from feedback.settings import PROJECT
from feedback.text import questions

MOST_ANSWERS = 400
SHOWN_STATES = ("complete", "partial")
_TITLE_CHARACTERS = 80


@dataclass
class Turn:
    """A question and every answer that it got, oldest first.

    Attributes:
        question: as it was asked.
        answers: more than one where it was answered again.
        preferred: the ids of those that the person called the better one.
    """

    question: str
    answers: list[Exchange] = field(default_factory=list)
    preferred: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Talk:
    """A conversation, as a list names it: by its first question."""

    id: str
    title: str
    at: float


def turns(session: Session, conversation_id: str, person_id: str) -> list[Turn]:
    """Return what this person was told in a conversation; nothing of anybody else's."""
    query = (
        select(Exchange)
        .where(
            Exchange.project_id == PROJECT,
            Exchange.conversation_id == conversation_id,
            Exchange.person_id == person_id,
            col(Exchange.state).in_(SHOWN_STATES),
        )
        .order_by(col(Exchange.created_at), col(Exchange.id))
        .limit(MOST_ANSWERS)
    )
    found: dict[int, Turn] = {}
    rows = list(session.exec(query))
    better = _preferred(session, [row.id for row in rows], person_id)
    for row in rows:
        turn = found.setdefault(row.turn, Turn(_question(row)))
        turn.answers.append(row)
        if row.id in better:
            turn.preferred.add(row.id)
    return [found[number] for number in sorted(found)]


def recent(session: Session, person_id: str, *, limit: int = 20) -> list[Talk]:
    """Return this person's conversations, the one that was gone on with last first."""
    query = (
        select(Exchange)
        .where(
            Exchange.project_id == PROJECT,
            Exchange.person_id == person_id,
            Exchange.origin == "chat",
            col(Exchange.conversation_id).is_not(None),
            col(Exchange.state).in_(SHOWN_STATES),
        )
        .order_by(col(Exchange.id).desc())
        .limit(MOST_ANSWERS)
    )
    found: dict[str, Talk] = {}
    for row in session.exec(query):
        name = str(row.conversation_id)
        if name not in found and len(found) < limit:
            title = " ".join(next(iter(questions(row.messages)), "").split())
            found[name] = Talk(name, title[:_TITLE_CHARACTERS] or "…", row.created_at)
    return list(found.values())


def _preferred(session: Session, ids: list[str], person_id: str) -> set[str]:
    found: set[str] = set()
    for portion in portions(ids):
        query = select(Feedback.exchange_id).where(
            col(Feedback.exchange_id).in_(portion),
            Feedback.person_id == person_id,
            col(Feedback.preferred_over).is_not(None),
        )
        found |= {name for name in session.exec(query) if name is not None}
    return found


def _question(row: Exchange) -> str:
    return next(reversed(questions(row.messages)), "")
