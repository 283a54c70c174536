"""Cron expressions as crontab(5) means them: 0 and 7 are Sunday, 1 is Monday.

APScheduler counts its days from Monday on, so a schedule that was written for cron would come a day
late. Knows no round and no setting.
"""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?:(\*)|([0-7])(?:-([0-7]))?)(?:/([1-9]\d?))?")


def next_times(expression: str, timezone: str, *, after_seconds: float, count: int) -> list[float]:
    """Return the next times (Unix seconds) of a cron expression.

    Args:
        expression: five fields, or six with the seconds in front; where both a day of the month and a
            day of the week are named, both have to hold.
        timezone: an IANA name.
        after_seconds: Unix seconds; a time that is exactly this counts.
        count: how many at most; some expressions name fewer.

    Raises:
        ValueError: it is no cron expression.
        KeyError: nobody knows the time zone.
    """
    zone = ZoneInfo(timezone)
    fields = expression.split()
    if len(fields) == len(_FIELDS) - 1:
        fields = ["0", *fields]
    named = dict(zip(_FIELDS, fields, strict=True))
    trigger = CronTrigger(**{**named, "day_of_week": _named(fields[-1])}, timezone=zone)
    moment = datetime.fromtimestamp(after_seconds, zone)
    times: list[float] = []
    for _ in range(count):
        fire = trigger.get_next_fire_time(moment if times else None, moment)
        if fire is None:
            break
        times.append(fire.timestamp())
        moment = datetime.fromtimestamp(fire.timestamp() + 1, zone)
    return times


def _named(days: str) -> str:
    """The days of the week by name, which every program counts alike."""
    if days == "*":
        return days
    return ",".join(dict.fromkeys(name for part in days.split(",") for name in _days(part)))


def _days(part: str) -> list[str]:
    found = _PART.fullmatch(part)
    if found is None:
        return [part]  # names, or what APScheduler will refuse
    whole, first, last, step = found.groups()
    if whole:
        numbers = range(0, 7, int(step or 1))
    else:
        end = int(last or (6 if step else first))
        numbers = range(int(first), end + 1, int(step or 1))
        if not numbers:
            raise ValueError(f"{part!r} ends before it begins")
    return [_DAYS[number % 7] for number in numbers]
