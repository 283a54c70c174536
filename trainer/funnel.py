"""Where a round's feedback went: collected, trusted, then used, held out or refused. No torch.

Knows no screen. The numbers are the round's own counts; only what was collected is read anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from feedback.ids import earliest_id
from feedback.models import Feedback
from feedback.settings import PROJECT
from trainer.models import Round
from trainer.opening import OF_FEEDBACK


@dataclass(frozen=True)
class Step:
    """One step: its name, how many pieces of feedback, and in a few words which."""

    name: str
    count: int
    note: str


def collected(session: Session, row: Round) -> int:
    """Return how many pieces of feedback came in since the round before, signals aside.

    Args:
        session: a session that only reads.
        row: the round; what came after it began is the next one's.
    """
    before = session.exec(
        select(func.max(Round.created_at)).where(
            Round.project_id == PROJECT, OF_FEEDBACK, col(Round.created_at) < row.created_at
        )
    ).one()
    until = row.started_at or row.ended_at or row.created_at
    query = select(func.count()).where(
        col(Feedback.project_id) == PROJECT,
        col(Feedback.id) >= earliest_id("fbk", before or 0.0),
        col(Feedback.id) < earliest_id("fbk", until),
        col(Feedback.signal).is_(None),
    )
    return session.exec(query).one()


def steps(counts: Mapping[str, Any], came_in: int) -> list[Step]:
    """Return the funnel; empty where the round has gathered nothing yet.

    Args:
        counts: of the round.
        came_in: what `collected` returned.
    """
    if "feedback" not in counts:
        return []
    trusted, used = int(counts["feedback"]), int(counts.get("used", 0))
    held_out, tuned = int(counts.get("held_out", 0)), int(counts.get("dev", 0))
    measured = int(counts.get("measured", 0))
    parts = ((held_out, "judge the round"), (tuned, "tune it"), (measured, "measure it"))
    told = [f"{number:,} {what}" for number, what in parts if number]
    kept = held_out + tuned + measured
    return [
        Step("Collected", came_in, "came in since the round before"),
        Step("Trusted", trusted, "accepted, and taken by this round"),
        Step("Used", used, "learned from"),
        Step("Held out", kept, ", ".join(told) or "judge the round"),
        Step("Refused", max(trusted - used - kept, 0), _refused(counts)),
    ]


def _refused(counts: Mapping[str, Any]) -> str:
    """Why, as far as the round counted it."""
    told = [
        f"{counts[name]} {why}"
        for name, why in (
            ("contradicted", "contradicted by a reviewed correction"),
            ("superseded", "superseded by what a reviewer accepted later"),
            ("personal", "with personal data in the answer"),
            ("unfit", "too long for the base model, or refused by its chat template"),
        )
        if counts.get(name)
    ]
    return "; ".join(told) or "nothing to learn from it"
