"""When rounds are due by the clock: as the settings say, until an admin chooses otherwise. Knows no HTTP.

What was chosen lies in the database: it holds for every process at once, without a restart, and goes
before the settings until it is taken back.
"""

import time

from sqlmodel import Session

from feedback.errors import Invalid
from feedback.settings import PROJECT
from trainer import cron
from trainer.models import Timetable
from trainer.settings import TrainerSettings


def chosen(session: Session) -> Timetable | None:
    """Return what an admin chose; None where the settings hold."""
    return session.get(Timetable, PROJECT)


def in_force(session: Session, settings: TrainerSettings) -> TrainerSettings:
    """Return the settings with the schedule and the time zone that hold now."""
    row = chosen(session)
    return settings if row is None else like(settings, row.cron, row.timezone)


def like(settings: TrainerSettings, expression: str, timezone: str) -> TrainerSettings:
    """Return these settings with another schedule and time zone."""
    return settings.model_copy(update={"schedule": expression, "timezone": timezone})


def choose(session: Session, settings: TrainerSettings, *, by: str) -> Timetable:
    """Let the schedule and the time zone of these settings hold from now on. The caller commits.

    Args:
        session: a writing session.
        settings: with what is chosen.
        by: who chooses, as they are known in the audit log.

    Raises:
        Invalid: it is no schedule, or names no time that ever comes.
    """
    if not next_times(settings, after_seconds=time.time(), count=1):
        raise Invalid(
            f"The schedule {settings.schedule!r} names no time that ever comes.",
            param="trainer.schedule",
        )
    return session.merge(
        Timetable(
            cron=settings.schedule, timezone=settings.timezone, chosen_by=by, chosen_at=time.time()
        )
    )


def reset(session: Session) -> bool:
    """Let the settings hold again; tells whether something else did. The caller commits."""
    row = chosen(session)
    if row is not None:
        session.delete(row)
    return row is not None


def next_due(session: Session, settings: TrainerSettings, *, since: float) -> tuple[str, float]:
    """Return the schedule in force and its next time (Unix seconds) since then.

    One that was chosen later names times to come only, and none that it would have had before.
    """
    row = chosen(session)
    if row is not None:
        settings, since = like(settings, row.cron, row.timezone), max(since, row.chosen_at)
    return settings.schedule, next_times(settings, after_seconds=since, count=1)[0]


def next_times(settings: TrainerSettings, *, after_seconds: float, count: int) -> list[float]:
    """Return the next times (Unix seconds) of the schedule of these settings.

    Raises:
        Invalid: the schedule is no cron expression, or the time zone is unknown.
    """
    try:
        return cron.next_times(
            settings.schedule, settings.timezone, after_seconds=after_seconds, count=count
        )
    except (ValueError, KeyError) as error:
        raise Invalid(
            f"trainer.schedule {settings.schedule!r} in {settings.timezone!r} is no schedule "
            f"({error}). Write five cron fields, such as `0 3 * * mon`, or six with seconds first.",
            param="trainer.schedule",
        ) from error
