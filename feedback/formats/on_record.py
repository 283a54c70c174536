"""What the store says of a row that comes again: known, said otherwise, or gone. Knows no format.

A vote's name is a hash of what it says (`importing.event_id`), so a name that is on record is the same vote,
whoever it is attributed to by now: under a new key or with another `--user` people have other hashes.
"""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from feedback.errors import Conflict, HeedError
from feedback.forget import FORGOTTEN
from feedback.ledger import Taken, Told
from feedback.models import Feedback
from feedback.settings import PROJECT

ERASED = "forgotten at somebody's request, and not taken in again"
AGED = "about an answer whose text was deleted for its age, and not taken in again"
CLASH = "its name is on record for something else that was said"

Outcome = Taken | HeedError | None


def gone(state: str, person_id: str) -> str | None:
    """Return why nothing is said any more of an exchange that is on record, or None."""
    if state != FORGOTTEN:
        return None
    return ERASED if person_id == FORGOTTEN else AGED


def settled(session: Session, tolds: Sequence[Told], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes, None in place of a conflict where the vote on record is the same.

    Args:
        session: the one in which they were taken.
        tolds: what people said.
        outcomes: what became of each.
    """
    clashing = [
        told.submission.event_id
        for told, outcome in zip(tolds, outcomes, strict=True)
        if isinstance(outcome, Conflict)
    ]
    if not clashing:
        return list(outcomes)
    kept: dict[str, Any] = {}
    for start in range(0, len(clashing), 5_000):
        query = select(Feedback.event_id, Feedback.body_hash, Feedback.rating, Feedback.body).where(
            Feedback.project_id == PROJECT,
            col(Feedback.event_id).in_(clashing[start : start + 5_000]),
        )
        kept.update((row[0], row[1:]) for row in session.exec(query))
    return [
        None if isinstance(outcome, Conflict) and _same(told, kept) else outcome
        for told, outcome in zip(tolds, outcomes, strict=True)
    ]


def reason(fault: HeedError, about: str | None) -> str:
    """Return why a vote was not taken, as somebody understands it who imports a file.

    Args:
        fault: of the intake.
        about: why what it is about takes nothing more, if that is so.
    """
    if isinstance(fault, Conflict):
        return CLASH
    return about or fault.message


def _same(told: Told, kept: dict[str, Any]) -> bool:
    """Whether a vote says what is on record; texts may have been redacted since, or deleted."""
    body_hash, rating, body = kept[told.submission.event_id or ""]
    said = told.submission.satisfaction, told.body.keys()
    return body_hash == "" or said == (rating, body.keys())
