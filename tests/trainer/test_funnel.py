"""The funnel of a round: what came in, what was trusted, and what became of it."""

import time

from feedback.store import Store
from tests.builders import ended_round, live, published, say
from trainer import funnel, registry
from trainer import round as rounds


def test_what_came_in_since_the_round_before_was_collected_signals_aside(store: Store) -> None:
    now = time.time()
    first = ended_round(store, created_at=now - 60, started_at=now - 60)
    for who in ("ana", "ben"):
        say(store, who)
    say(store, "cleo", signal="copy")
    second = ended_round(store, created_at=time.time() + 1, started_at=time.time() + 1)
    ended_round(store, created_at=time.time() + 0.5, trigger="documents")
    with store.session() as session:
        assert funnel.collected(session, first) == 0
        assert funnel.collected(session, second) == 2
        assert rounds.new_material(session) == 2


def test_every_piece_that_a_round_took_is_in_one_step() -> None:
    counts = {
        "feedback": 48,
        "used": 30,
        "held_out": 5,
        "dev": 2,
        "measured": 4,
        "contradicted": 2,
        "superseded": 4,
        "personal": 1,
    }
    steps = funnel.steps(counts, 55)
    assert [(each.name, each.count) for each in steps] == [
        ("Collected", 55),
        ("Trusted", 48),
        ("Used", 30),
        ("Held out", 11),
        ("Refused", 7),
    ]
    assert steps[3].note == "5 judge the round, 2 tune it, 4 measure it"
    assert steps[4].note == (
        "2 contradicted by a reviewed correction; 4 superseded by what a reviewer accepted later; "
        "1 with personal data in the answer"
    )
    assert funnel.steps({}, 5) == []


def test_what_a_rollback_would_bring_back_is_told_and_nothing_changes(store: Store) -> None:
    first = live(store, published(store))
    live(store, published(store, parent=first.id))
    with store.session() as session:
        assert registry.rollback_target(session) == first.id
        deployed = registry.live(session)
    assert deployed is not None and deployed.generation == 2
