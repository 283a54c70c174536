"""Who counts for a canary, with what, on both databases."""

import time

import pytest

from feedback.models import Receipt
from feedback.store import Store
from serving import canary_streams as names
from serving.canary_evidence import FEWEST_ANSWERS, Evidence
from tests.builders import say, tell, told
from tests.serving import canaries
from trainer.canary import Result
from trainer.models import Deployment


def read(store: Store, deployed: Deployment, **trainer: object) -> dict[str, Result]:
    """The streams, read from the beginning."""
    evidence = Evidence(deployed, canaries.settings_of(store, **trainer))
    with store.session() as session:
        evidence.read(session, now=time.time())
        evidence.read(session, now=time.time())  # again hears nothing twice
    return {name: each.result() for name, each in evidence.streams.items()}


def test_the_weights_share_one_error_probability() -> None:
    assert sum(names.WEIGHTS.values()) == pytest.approx(1.0)
    assert sum(names.SAFE_WEIGHTS[name] for name in names.DECISIVE) == pytest.approx(1.0)


def test_people_count_once_with_what_they_said_first(store: Store) -> None:
    deployed = canaries.canary(store)
    (old, old_adapter), (new, new_adapter) = canaries.of_each(deployed, 1)
    first = canaries.asked(store, new, new_adapter)
    say(store, new, completion_id=first, rating="down")
    say(store, new, completion_id=first, rating="up")  # a change of mind
    say(store, new, completion_id=canaries.asked(store, new, new_adapter), rating="up")
    right = canaries.asked(store, old, old_adapter)
    say(store, old, completion_id=right, rating="up", correction="It costs 50 dollars.")
    found = read(store, deployed)[names.FIRST]
    assert (found.old_people, found.new_people, found.pairs) == (1, 1, 1)
    assert (found.old_mean, found.new_mean) == (0.0, 0.0)  # a correction is no praise


def test_only_those_count_who_met_what_is_theirs_since_it_began(store: Store) -> None:
    deployed = canaries.canary(store)
    people = canaries.of_each(deployed, 4)
    (old, old_adapter), (new, new_adapter) = people[0], people[1]
    other, _ = people[2]
    early = deployed.created_at - 60
    for who, adapter, columns in (
        (new, old_adapter, {}),  # before this replica followed
        (new, new_adapter, {"created_at": early}),
        (new, new_adapter, {"model": new_adapter}),  # they chose it
        (new, new_adapter, {"origin": "task"}),
        (old, "base", {}),
    ):
        name = canaries.asked(store, who, adapter, **columns)
        say(store, who, completion_id=name, rating="down")
    # What somebody else says of their answer is no word of theirs.
    say(store, other, completion_id=canaries.asked(store, new, new_adapter), rating="down")
    found = read(store, deployed)
    assert (found[names.FIRST].old_people, found[names.FIRST].new_people) == (0, 0)


def test_what_was_withdrawn_does_not_count(store: Store) -> None:
    deployed = canaries.canary(store)
    _, (new, adapter) = canaries.of_each(deployed, 1)
    (name,) = tell(
        store, told(new, completion_id=canaries.asked(store, new, adapter), rating="down")
    )
    assert read(store, deployed)[names.FIRST].new_people == 1
    with store.session(write=True) as session:
        receipt = session.get_one(Receipt, name)
        receipt.status = "withdrawn"
        session.add(receipt)
        session.commit()
    assert read(store, deployed)[names.FIRST].new_people == 0


def test_regulars_count_again_with_the_mean_of_their_votes(store: Store) -> None:
    deployed = canaries.canary(store)
    _, (new, adapter) = canaries.of_each(deployed, 1)
    for number in range(names.HABIT_VOTES):
        rating = "up" if number < 2 else "down"
        say(store, new, completion_id=canaries.asked(store, new, adapter), rating=rating)
    found = read(store, deployed)
    assert found[names.FIRST].new_mean == 1.0
    assert found[names.HABIT].new_mean == 2 / names.HABIT_VOTES


def test_failures_and_slow_answers_are_told_from_the_log(store: Store) -> None:
    deployed = canaries.canary(store)
    live = str(deployed.live_id)
    for number in range(FEWEST_ANSWERS):
        before = {"created_at": deployed.created_at - 100 - number, "seconds": 1 + number / 100}
        canaries.asked(store, "early", live, **before)
    people = canaries.of_each(deployed, 3)
    seconds = {live: 1.2, str(deployed.canary_id): 9.0}
    for who, adapter in people[:2]:
        canaries.asked(store, who, adapter, seconds=seconds[adapter])
    canaries.asked(store, people[3][0], people[3][1], seconds=1.0, state="failed")
    canaries.asked(store, people[5][0], people[5][1], seconds=60.0, state="partial")
    found = read(store, deployed)
    latency, errors = found[names.LATENCY], found[names.ERRORS]
    assert (latency.old_mean, latency.new_mean, latency.new_people) == (1.0, 0.0, 1)
    assert errors.new_people == 3
    assert errors.new_mean == pytest.approx(2 / 3)


def test_what_is_usual_is_learned_from_the_live_version_where_nothing_came_before(
    store: Store,
) -> None:
    deployed = canaries.canary(store)
    people = canaries.of_each(deployed, FEWEST_ANSWERS + 2)
    for number, (who, adapter) in enumerate(people):
        at = deployed.created_at + 1 + number
        canaries.asked(store, who, adapter, seconds=1.0, created_at=at)
    found = read(store, deployed)[names.LATENCY]
    assert found.old_people == 2  # the others told what is usual
    assert 1 <= found.new_people <= 3


def test_votes_are_heard_as_they_come_in(store: Store) -> None:
    deployed = canaries.canary(store)
    people = canaries.of_each(deployed, 3)
    ratings = {str(deployed.live_id): "up", str(deployed.canary_id): "down"}
    evidence = Evidence(deployed, canaries.settings_of(store))
    for heard in (2, 4, 6):
        canaries.vote(store, people[heard - 2 : heard], ratings)
        with store.session() as session:
            evidence.read(session, now=time.time())
        assert evidence.streams[names.FIRST].result().pairs == heard // 2
