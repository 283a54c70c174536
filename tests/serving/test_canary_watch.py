"""A canary goes or stays by itself, and everything tells why, on both databases."""

from collections.abc import Callable

import pytest
from sqlmodel import select

from feedback.store import Store
from serving.canary_watch import ACTOR, CanaryWatch, watched
from serving.models import AuditEntry
from serving.scheduler import Scheduler
from tests.builders import opened_round
from tests.serving import canaries
from trainer import registry
from trainer.models import Adapter, Deployment, RoundEvent


def live(store: Store) -> Deployment:
    with store.session() as session:
        found = registry.live(session)
    assert found is not None
    return found


def ratings(deployed: Deployment, old: str, new: str) -> dict[str, str]:
    return {str(deployed.live_id): old, str(deployed.canary_id): new}


def test_a_worse_canary_is_rolled_back_and_everything_says_why(store: Store) -> None:
    made_by = opened_round(store)
    deployed = canaries.canary(store, round_id=made_by.id)
    watch = CanaryWatch(store, canaries.settings_of(store))
    people = canaries.of_each(deployed, 20)
    canaries.vote(store, people[:4], ratings(deployed, "up", "down"))
    assert watch.look() is None  # two people are no evidence yet
    canaries.vote(store, people[4:], ratings(deployed, "up", "down"))
    after = watch.look()
    assert after is not None
    assert (after.live_id, after.canary_id, after.actor) == (deployed.live_id, None, ACTOR)
    assert after.reason.startswith(f"The canary {deployed.canary_id} is rolled back. votes: 0.0%")
    assert live(store).generation == deployed.generation + 1
    with store.session() as session:
        (line,) = session.exec(select(AuditEntry)).all()
        (event,) = session.exec(select(RoundEvent)).all()
        gone = session.get_one(Adapter, deployed.canary_id)
    assert (line.actor, line.action, line.subject) == (
        ACTOR,
        "adapter.rollback",
        deployed.canary_id,
    )
    assert line.detail == event.message == after.reason
    assert (event.round_id, event.stage, event.data["decision"]) == (
        made_by.id,
        "canary",
        "rollback",
    )
    assert gone.state == "retired"
    assert watch.look() is None  # nothing is left to watch


def test_a_canary_that_is_surely_not_worse_goes_live(store: Store) -> None:
    deployed = canaries.canary(store)
    watch = CanaryWatch(store, canaries.settings_of(store, canary_margin_points=40))
    people = canaries.of_each(deployed, 60)
    for start in range(0, len(people), 20):
        canaries.vote(store, people[start : start + 20], ratings(deployed, "up", "up"))
    after = watch.look()
    assert after is not None
    assert (after.live_id, after.canary_id, after.actor) == (deployed.canary_id, None, ACTOR)
    assert "stays" in after.reason and "surely less than 40 points worse" in after.reason


def test_time_alone_decides_nothing(store: Store) -> None:
    deployed = canaries.canary(store)
    with store.session(write=True) as session:
        old = session.get_one(Deployment, deployed.id)
        old.created_at -= 365 * 86_400
        session.add(old)
        session.commit()
    assert CanaryWatch(store, canaries.settings_of(store)).look() is None
    assert live(store).generation == deployed.generation


def test_whoever_deploys_meanwhile_has_the_last_word(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = canaries.canary(store)
    canaries.vote(store, canaries.of_each(deployed, 20), ratings(deployed, "up", "down"))
    watch = CanaryWatch(store, canaries.settings_of(store))
    inner = store.session

    def first_somebody_else(*, write: bool = False) -> object:
        if write:
            monkeypatch.setattr(store, "session", inner)
            with inner(write=True) as session:
                registry.promote(session, str(deployed.canary_id), actor="ana", reason="by hand")
                session.commit()
        return inner(write=write)

    monkeypatch.setattr(store, "session", first_somebody_else)
    assert watch.look() is None
    assert (live(store).actor, live(store).live_id) == ("ana", deployed.canary_id)


def test_a_comparison_and_a_switched_off_watch_are_left_alone(store: Store) -> None:
    deployed = canaries.compared(store)
    canaries.vote(store, canaries.of_each(deployed, 20), ratings(deployed, "up", "down"))
    settings = canaries.settings_of(store)
    assert CanaryWatch(store, settings).look() is None
    with store.session() as session:
        found = watched(session, settings).to_json()
    assert (found["mode"], found["running"], found["decision"]) == ("ab", True, "rollback")
    assert found["streams"][0]["estimate"] == -1.0
    with store.session(write=True) as session:
        registry.rollback(session, actor="test")
        session.commit()
    second = canaries.canary(store)
    canaries.vote(store, canaries.of_each(second, 20), ratings(second, "up", "down"))
    assert CanaryWatch(store, canaries.settings_of(store, canary_automatic=False)).look() is None
    assert live(store).generation == second.generation


@pytest.mark.parametrize("begin", [canaries.canary, canaries.compared])
def test_no_round_is_opened_while_two_versions_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch, begin: Callable[[Store], Deployment]
) -> None:
    begin(store)
    asked: list[bool] = []
    monkeypatch.setattr("serving.scheduler.rounds.due", lambda *_, **__: asked.append(True))
    scheduler = Scheduler(store, canaries.settings_of(store))
    scheduler.tick()
    assert asked == []
    with store.session(write=True) as session:
        registry.rollback(session, actor="test")
        session.commit()
    scheduler.tick()
    assert asked == [True]
