"""When a round is due."""

import time

import pytest
from sqlmodel import select

from feedback.errors import Invalid
from feedback.models import Exchange
from feedback.store import Store
from tests.builders import say
from trainer import round as rounds
from trainer import timetable
from trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(new_material=4, minimum_material=2, schedule="0 3 * * 1")


def due(store: Store, *, in_seconds: float = 0.0) -> str | None:
    with store.session() as session:
        return rounds.due(session, SETTINGS, now_seconds=time.time() + in_seconds)


def fail_a_round(store: Store) -> None:
    """Open a round and let it die: everything that it held is given back."""
    with store.session(write=True) as session:
        opened = rounds.open(session, store.settings, SETTINGS, trigger="test")
        rounds.close(session, opened, "failed", "Nothing could be learned.")
        session.commit()


def test_a_round_is_due_when_enough_has_gathered(store: Store) -> None:
    for number in range(3):
        say(store, who=f"person-{number}")
    assert due(store) is None
    say(store, who="person-3")
    assert due(store) == "4 new pieces of feedback wait"


def test_no_round_is_due_while_one_is_open(store: Store) -> None:
    for number in range(4):
        say(store, who=f"person-{number}")
    with store.session(write=True) as session:
        rounds.open(session, store.settings, SETTINGS, trigger="test")
        session.commit()
    assert due(store) is None


def test_what_a_round_gave_back_is_not_new(store: Store) -> None:
    for number in range(5):
        say(store, who=f"person-{number}")
    fail_a_round(store)
    assert due(store) is None
    for number in range(3):
        say(store, who=f"later-{number}")
    assert due(store) is None
    say(store, who="later-3")
    assert due(store) == "4 new pieces of feedback wait"


def test_a_schedule_may_count_seconds() -> None:
    monday = 1_735_689_600.0 + 5 * 86_400  # 2025-01-06, midnight UTC
    every = TrainerSettings(schedule="*/20 * * * * *")
    assert timetable.next_times(every, after_seconds=monday + 1, count=3) == [
        monday + 20,
        monday + 40,
        monday + 60,
    ]
    at_night = TrainerSettings(schedule="30 0 3 * * mon")
    assert timetable.next_times(at_night, after_seconds=monday, count=1) == [monday + 3 * 3600 + 30]


@pytest.mark.parametrize("schedule", ["* * * *", "60 * * * * *", "* * * * * * *", "soon"])
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(Invalid, match="or six with seconds first"):
        timetable.next_times(TrainerSettings(schedule=schedule), after_seconds=0.0, count=1)


def test_what_was_given_back_is_tried_again_when_the_schedule_says(store: Store) -> None:
    say(store, who="ana")
    say(store, who="ben")
    fail_a_round(store)
    assert due(store) is None
    assert due(store, in_seconds=8 * 86_400) == "schedule '0 3 * * 1'"


def choose(store: Store, cron: str, timezone: str = "UTC") -> None:
    wanted = SETTINGS.model_copy(update={"schedule": cron, "timezone": timezone})
    with store.session(write=True) as session:
        timetable.choose(session, wanted, by="acc_vera")
        session.commit()


def test_a_schedule_that_was_chosen_goes_before_the_settings(store: Store) -> None:
    say(store, who="ana")
    say(store, who="ben")
    assert due(store, in_seconds=8 * 86_400) == "schedule '0 3 * * 1'"
    choose(store, "0 3 1 1 *", "Europe/Berlin")
    assert due(store, in_seconds=8 * 86_400) is None
    assert due(store, in_seconds=366 * 86_400) == "schedule '0 3 1 1 *'"
    with store.session() as session:
        now = timetable.in_force(session, SETTINGS)
    assert (now.schedule, now.timezone) == ("0 3 1 1 *", "Europe/Berlin")
    with store.session(write=True) as session:
        assert timetable.reset(session)
        session.flush()
        assert not timetable.reset(session)
        session.commit()
    assert due(store, in_seconds=8 * 86_400) == "schedule '0 3 * * 1'"


def test_no_time_before_it_was_chosen_makes_a_round_due(store: Store) -> None:
    say(store, who="ana")
    say(store, who="ben")
    with store.session(write=True) as session:
        for exchange in session.exec(select(Exchange)):
            exchange.created_at -= 30 * 86_400
            session.add(exchange)
        session.commit()
    hourly = SETTINGS.model_copy(update={"schedule": "0 * * * *"})
    with store.session() as session:
        assert rounds.due(session, hourly, now_seconds=time.time()) is not None
    choose(store, "0 * * * *")
    assert due(store) is None
    assert due(store, in_seconds=3601) == "schedule '0 * * * *'"


@pytest.mark.parametrize("cron", ["soon", "0 3 30 2 *"])
def test_what_names_no_time_cannot_be_chosen(store: Store, cron: str) -> None:
    choose(store, "0 4 * * *")
    with pytest.raises(Invalid):
        choose(store, cron)
    with store.session() as session:
        assert timetable.in_force(session, SETTINGS).schedule == "0 4 * * *"
