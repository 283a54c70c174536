"""How much is missing until the next round. Knows no reviewer."""

from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import Session, col, select

from feedback import harvest
from feedback.settings import PROJECT
from trainer import opening
from trainer.models import Round
from trainer.settings import TrainerSettings


@dataclass(frozen=True)
class Until:
    """What a round waits for.

    Attributes:
        available: pieces of feedback that a round could claim now.
        missing: so many more make a round due before its time; 0 where it is due, or runs.
        missing_for_schedule: so many more there have to be when its time comes.
        running: the open round, if there is one.
    """

    available: int
    missing: int
    missing_for_schedule: int
    running: str | None


def until(session: Session, settings: TrainerSettings) -> Until:
    """Return how much accepted feedback is missing until a round is due, as `round.due` tells it.

    Args:
        session: a session that only reads.
        settings: how much makes a round due.
    """
    running = opening.current(session)
    enough = max(settings.new_material, settings.minimum_material)
    available = harvest.available(session, most=10 * enough)
    ended = session.exec(
        select(func.max(Round.ended_at)).where(
            Round.project_id == PROJECT, opening.OF_FEEDBACK, col(Round.ended_at).is_not(None)
        )
    ).one()
    new = harvest.available(session, since=ended or 0.0, most=enough) if ended else available
    missing = max(settings.new_material - new, settings.minimum_material - available, 0)
    return Until(
        available=available,
        missing=0 if running else missing,
        missing_for_schedule=max(settings.minimum_material - available, 0),
        running=running.id if running else None,
    )
