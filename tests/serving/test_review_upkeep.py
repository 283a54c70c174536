"""The review queue is put in order beside everything else, and `heed insights` says what it saw."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import col, select

from feedback import harvest
from feedback.review_models import ReviewItem
from feedback.store import Store
from serving import review_upkeep
from serving.review_upkeep import ReviewUpkeep, catch_up
from serving.scheduler import Scheduler
from serving.settings import Settings
from tests import builders
from tests.serving.command_line import document, done, store_at
from trainer.examples import build
from trainer.settings import TrainerSettings
from trainer.until import until


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def items(store: Store) -> list[ReviewItem]:
    with store.session() as session:
        return list(session.exec(select(ReviewItem).order_by(col(ReviewItem.feedback_id))))


def test_what_is_new_becomes_findable_and_finds_its_place(store: Store) -> None:
    for who in ("ana", "bo"):
        builders.say(store, who, correction="It costs 59 dollars.")
    assert all(each.stale and not each.words for each in items(store))
    catch_up(store, most=1)
    assert [each.stale for each in items(store)] == [False, True]
    Scheduler(store, Settings.model_construct(feedback=store.settings)).order_reviews()
    for each in items(store):
        assert not each.stale and "dollars" in each.words
        assert each.rank < 0 and "settles 2" in each.why


def test_nothing_is_worked_out_anew_where_nothing_has_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_upkeep, "REST", -1)
    ids = [builders.say(store, who, correction="It costs 59 dollars.") for who in ("ana", "bo")]
    upkeep = ReviewUpkeep(store)
    assert upkeep.look() == 2
    assert upkeep.look() == 0
    builders.decide(store, ids[0])
    assert upkeep.look() == 1  # it stands alone now
    [left] = [each for each in items(store) if each.lane == "waiting"]
    assert "settles" not in left.why


def test_after_its_work_it_rests_and_does_not_forget_what_came_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    builders.say(store, correction="It costs 59 dollars.")
    monkeypatch.setattr(review_upkeep, "REST", 1e9)
    upkeep = ReviewUpkeep(store)
    assert upkeep.look() == 1
    builders.say(store, "bo", correction="It costs 59 dollars.")
    assert upkeep.look() == 0
    upkeep._rests_until = 0.0
    assert upkeep.look() == 2


def test_one_edit_gives_a_demonstration_and_a_preference(store: Store) -> None:
    name = builders.say(store, rating="down", comment="No.")
    builders.decide(store, name, "edit", correction="It is 59 now, and was never less than that.")
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, "rnd_1")
        made = build(harvest.words(session, "rnd_1"))
        session.rollback()
    edit = "It is 59 now, and was never less than that."
    assert [(each.kind, each.target, each.rejected) for each in made] == [
        ("demonstration", edit, None),
        ("preference", edit, builders.ANSWER),
    ]


def test_what_the_next_round_waits_for_is_what_makes_it_due(store: Store) -> None:
    settings = TrainerSettings(new_material=3, minimum_material=2)
    for who in ("ana", "bo"):
        builders.say(store, who, rating="up")
    with store.session() as session:
        told = until(session, settings)
    assert (told.available, told.missing, told.missing_for_schedule) == (2, 1, 0)
    opened = builders.opened_round(store)
    with store.session() as session:
        assert until(session, settings).running == opened.id
        assert until(session, settings).missing == 0


def test_insights_are_printed_for_people_and_for_programs(commands: Store) -> None:
    for empty in ("satisfaction", "complaints", "corrections"):
        assert "Nobody" in done("insights", empty)
    builders.say(commands, "ana", rating="up")
    builders.say(commands, "bo", correction="It costs [red]59[/red].")
    assert document("insights", "satisfaction", "--by", "adapter")["votes"] == 2
    assert "everybody: 50.0% satisfied" in done("insights", "satisfaction")
    assert "adapter base" in done("insights", "satisfaction", "--by", "adapter", "--every", "week")
    assert document("insights", "complaints")["people"] == 1
    assert "1 complaints of 1 people" in done("insights", "complaints")
    assert document("insights", "corrections")["total"]["waiting"] == 1
    assert "waiting" in done("insights", "corrections")
