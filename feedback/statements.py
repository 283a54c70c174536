"""What people said of answers, read for comparison: who, of which answer, and how. Knows no weight.

Two people speak of the same thing where the same (normalised) question got the same answer, whoever
asked it and whichever adapter answered.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import Session, col

from feedback.columns import as_text, columns, decoded, here
from feedback.models import Exchange, Feedback, Person, Receipt, Review
from feedback.settings import PROJECT
from feedback.text import questions
from feedback.words import runs

Kind = Literal["rating", "correction", "preference"]

MIDDLING = 0.5
IMPORTED = "import"
MOST_STATEMENTS = 12_000
"""So many of the newest are read: what bounds the memory and the time of a harvest."""
MOST_REVIEWS = 20_000
MOST_CHARACTERS = 1_000
"""Of a text, when near duplicates are looked for."""


class Statement(NamedTuple):
    """One explicit vote, as it is compared with others.

    Attributes:
        feedback_id: the delivery.
        person_id: who said so.
        key_id: the API key it came with.
        kind: what was said; a rating beside a correction is a correction.
        liked: whether the answer was found good; None for a preference.
        answer: names the answer and what it was given to, equal for everybody who got it.
        said: question and statement as text, for finding near duplicates.
        first_seen_at: since when the account is known, Unix seconds.
        received_at: when Heed was told, Unix seconds.
        imported: taken over from elsewhere by the operator, so that times say nothing.
        decided: True where a reviewer stood by it, False where one refused it, else None.
        fix: the answer as it should have been, of a correction.
    """

    feedback_id: str
    person_id: str
    key_id: str | None
    kind: Kind
    liked: bool | None
    answer: tuple[str, ...]
    said: str
    first_seen_at: float
    received_at: float
    imported: bool = False
    decided: bool | None = None
    fix: str | None = None


def explicit() -> ColumnElement[bool]:
    """The condition for a vote that says something of an answer by itself."""
    return (
        (col(Feedback.rating) != MIDDLING)
        | col(Feedback.correction).is_not(None)
        | col(Feedback.preferred_over).is_not(None)
    )


def recent(session: Session) -> list[Statement]:
    """Return the newest explicit votes that are in force, in the order in which they were said."""
    newest = (
        columns(
            Feedback.told_at,
            Feedback.event_id,
            Feedback.id,
            Feedback.person_id,
            Feedback.key_id,
            Feedback.exchange_id,
            Feedback.choice,
            Feedback.rating,
            Feedback.correction,
            Feedback.received_at,
            Person.first_seen_at,
            Exchange.origin,
            as_text(Exchange.messages),
            as_text(Exchange.choices),
        )
        .select_from(Receipt)
        .join(Feedback, col(Receipt.feedback_id) == Feedback.id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
        .join(
            Person,
            (col(Person.id) == Feedback.person_id)
            & (col(Person.project_id) == Feedback.project_id),
        )
        .where(
            col(Receipt.project_id) == PROJECT,
            col(Receipt.teaches),
            explicit(),
            col(Receipt.status).not_in(["withdrawn", "forgotten"]),
        )
        .order_by(col(Receipt.feedback_id).desc())
        .limit(MOST_STATEMENTS)
    )
    decisions = _decisions(session)
    # In the order in which it was said, not delivered; of what was said again the last counts.
    rows = session.connection().execute(newest).all()  # one by one they cost twice as much
    found: dict[tuple[object, ...], Statement] = {}
    known: dict[str, tuple[str, ...]] = {}
    # Plain tuples, unpacked: there are twelve thousand rows, and each attribute would be looked up.
    for _, _, name, person, key, exchange, choice, rating, fix, received, *about in sorted(
        map(tuple, rows)
    ):
        first_seen, origin, messages, choices = about
        liked, kind = _opinion(rating, fix)
        question = known.get(messages)
        if question is None:
            question = known[messages] = _asked(decoded(messages))
        answer = " ".join(str(decoded(choices)[choice]["text"]).casefold().split())
        said = answer if fix is None else fix
        found[exchange, choice, person, kind] = Statement(
            name,
            person,
            key,
            kind,
            liked,
            answer=(answer, *question),
            said=f"{' '.join(question)[:MOST_CHARACTERS]} {said[:MOST_CHARACTERS]}",
            first_seen_at=first_seen,
            received_at=received,
            imported=origin == IMPORTED,
            decided=decisions.get(name),
            fix=fix,
        )
    return list(found.values())


def _opinion(rating: float | None, correction: str | None) -> tuple[bool | None, Kind]:
    if correction is not None:
        return False, "correction"
    if rating is not None and rating != MIDDLING:
        return rating > MIDDLING, "rating"
    return None, "preference"


def _asked(messages: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    # Only letters and digits count: "What does it cost?" is "what does it cost".
    return tuple(" ".join(runs(text)) for text in questions(messages))


def _decisions(session: Session) -> dict[str, bool]:
    """What reviewers last decided: whether the statement holds."""
    newest = (
        columns(Review.feedback_id, Review.decision)
        .where(here(Review.project_id))
        .order_by(col(Review.id).desc())
        .limit(MOST_REVIEWS)
    )
    last: dict[str, str] = {}
    for feedback_id, decision in session.connection().execute(newest).all():
        last.setdefault(feedback_id, decision)
    return {
        feedback_id: decision != "refuse"
        for feedback_id, decision in last.items()
        if decision != "reopen"
    }
