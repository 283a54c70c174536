"""When a round is due."""

import time

from feedback.store import Store
from tests.builders import say
from trainer import round as rounds
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


def test_what_was_given_back_is_tried_again_when_the_schedule_says(store: Store) -> None:
    say(store, who="ana")
    say(store, who="ben")
    fail_a_round(store)
    assert due(store) is None
    assert due(store, in_seconds=8 * 86_400) == "schedule '0 3 * * 1'"
