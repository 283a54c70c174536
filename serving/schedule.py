"""The schedule as people read it: in words, its next dates, and who chose it. Knows no HTTP."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session

from feedback.errors import Invalid
from serving.auth import audit
from trainer import timetable
from trainer.settings import TrainerSettings

SHOWN_TIMES = 5


@dataclass(frozen=True)
class Reading:
    """What a schedule means.

    Attributes:
        expression: cron, as it was given.
        timezone: an IANA name.
        meaning: a sentence.
        times: the next ones, Unix seconds; none where the expression names a day that never comes.
    """

    expression: str
    timezone: str
    meaning: str
    times: list[float]

    @property
    def dates(self) -> list[str]:
        """The next times as the clocks of the time zone show them."""
        zone = ZoneInfo(self.timezone)
        return [
            datetime.fromtimestamp(each, zone).strftime("%a %d %b %Y, %H:%M %Z")
            for each in self.times
        ]


@dataclass(frozen=True)
class Coming:
    """When rounds are due next by the schedule in force.

    Attributes:
        dates: as the clocks of its time zone show them; none where it names no time.
        fault: why nobody can tell.
    """

    dates: list[str]
    fault: str = ""


def coming(session: Session, settings: TrainerSettings, *, after_seconds: float) -> Coming:
    """Return when rounds are due next, from a time (Unix seconds) on."""
    now = timetable.in_force(session, settings)
    try:
        times = timetable.next_times(now, after_seconds=after_seconds, count=SHOWN_TIMES)
    except Invalid as error:
        return Coming([], error.message)
    zone = ZoneInfo(now.timezone)
    return Coming(
        [datetime.fromtimestamp(each, zone).strftime("%a %d %b %H:%M %Z") for each in times]
    )


def read(settings: TrainerSettings, *, after_seconds: float) -> Reading:
    """Say what the schedule of these settings means, from a time (Unix seconds) on.

    Raises:
        Invalid: it is no cron expression, or nobody knows the time zone.
    """
    times = timetable.next_times(settings, after_seconds=after_seconds, count=SHOWN_TIMES)
    return Reading(settings.schedule, settings.timezone, _meaning(settings.schedule), times)


def choose(session: Session, settings: TrainerSettings, *, actor: str) -> None:
    """Let the schedule of these settings hold from now on, and write that down. The caller commits.

    Raises:
        Invalid: it is no schedule, or names no time that ever comes.
    """
    row = timetable.choose(session, settings, by=actor)
    said = f"{row.cron} ({row.timezone})"
    audit(session, actor=actor, action="schedule.choose", subject="schedule", detail=said)


def reset(session: Session, *, actor: str) -> None:
    """Let the settings hold again, and write that down if something else did. The caller commits."""
    if timetable.reset(session):
        audit(session, actor=actor, action="schedule.reset", subject="schedule")


def _meaning(expression: str) -> str:
    from cron_descriptor import Options, get_description
    from cron_descriptor.Exception import FormatError, MissingFieldError, WrongArgumentError

    options = Options()
    options.use_24hour_time_format = True
    try:
        said = get_description(expression, options)
    except (FormatError, MissingFieldError, WrongArgumentError, ValueError, IndexError):
        return "It has no short reading; the dates below are what counts."
    return f"{said}."
