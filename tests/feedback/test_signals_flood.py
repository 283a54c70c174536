"""One person who speaks of one answer thousands of times costs a report little, and hides nobody."""

from pathlib import Path

import pytest

from feedback import signals
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests import builders

STEPS = 100
"""Of SQLite's machine, in which work is counted here."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(FeedbackSettings(data_dir=tmp_path))
    schema.upgrade(made)
    return made


def flooded(store: Store, votes: int, clicks: int) -> str:
    """Let ben vote and click, and then ana, over and over on one answer."""
    heard = builders.recorded(store, who="ben")
    builders.say(store, "ben", completion_id=heard, rating="up")
    builders.say(store, "ben", completion_id=heard, signal="copy")
    clicked = builders.recorded(store, who="cleo")
    builders.say(store, "cleo", completion_id=clicked, signal="copy")
    loud = builders.recorded(store, who="ana")
    builders.tell(
        store,
        *(builders.told("ana", completion_id=loud, rating="up") for _ in range(votes)),
        *(builders.told("ana", completion_id=loud, signal="click") for _ in range(clicks)),
    )
    return heard


def work(store: Store) -> int:
    """How much SQLite does to find the pairs and the answers without a vote."""
    done = 0

    def step() -> int:
        nonlocal done
        done += 1
        return 0

    with store.session() as session:
        raw = session.connection().connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(step, STEPS)
        signals.pairs(session, most=100)
        signals.unvoted(session, most=100)
        raw.set_progress_handler(None, 0)
    return done


def test_whoever_floods_hides_nobody_else(store: Store) -> None:
    heard = flooded(store, votes=1_200, clicks=1_200)
    with store.session() as session:
        pairs = signals.pairs(session, most=10)
        waiting = signals.unvoted(session, most=500)
    assert {one.slot[2]: len(one.delivered) for one in pairs} == {
        builders.person("ben"): 1,
        builders.person("ana"): 1_200,
    }
    assert next(one for one in pairs if one.slot[0] == heard).satisfied
    assert [one.slot[2] for one in waiting] == [builders.person("cleo")]


@pytest.mark.parametrize(("votes", "clicks"), [(1_000, 0), (0, 1_000), (500, 500)])
def test_twice_the_flood_costs_twice_as_much_and_not_four_times(
    tmp_path: Path, votes: int, clicks: int
) -> None:
    costs = []
    for times in (1, 3):
        store = Store(FeedbackSettings(data_dir=tmp_path / str(times)))
        schema.upgrade(store)
        flooded(store, times * votes, times * clicks)
        costs.append(work(store))
    assert costs[1] < 4.5 * costs[0]
