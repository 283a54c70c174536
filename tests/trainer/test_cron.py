"""Cron expressions mean what crontab(5) says they mean."""

from datetime import UTC, datetime

import pytest

from trainer import cron

SUNDAY = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


def days(expression: str, count: int = 3) -> list[str]:
    """The days of the week of the next times."""
    times = cron.next_times(expression, "UTC", after_seconds=SUNDAY, count=count)
    return [datetime.fromtimestamp(each, UTC).strftime("%a") for each in times]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * 0", ["Sun", "Sun", "Sun"]),
        ("0 3 * * 7", ["Sun", "Sun", "Sun"]),
        ("0 3 * * 1", ["Mon", "Mon", "Mon"]),
        ("0 3 * * mon", ["Mon", "Mon", "Mon"]),
        ("0 3 * * 5-7", ["Sun", "Fri", "Sat"]),
        ("0 3 * * 0-2", ["Sun", "Mon", "Tue"]),
        ("0 3 * * 1,4", ["Mon", "Thu", "Mon"]),
        ("0 3 * * */3", ["Sun", "Wed", "Sat"]),
        ("0 3 * * 1-5/2", ["Mon", "Wed", "Fri"]),
        ("0 3 * * 2/2", ["Tue", "Thu", "Sat"]),
        ("0 3 * * wed,6", ["Wed", "Sat", "Wed"]),
    ],
)
def test_days_of_the_week_are_those_of_cron(expression: str, expected: list[str]) -> None:
    assert days(expression) == expected


@pytest.mark.parametrize("expression", ["", "* * *", "0 3 * * 8", "0 3 * * 5-1", "0 25 * * *", "x"])
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        days(expression)


def test_a_day_that_never_comes_has_no_time() -> None:
    assert days("0 3 30 2 *") == []
