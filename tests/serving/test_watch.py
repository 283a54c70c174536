"""The version that answers is measured, and what changes raises an alert, on both databases."""

from typing import Any

import pytest
from sqlmodel import Session, select

from benchmarks import store_at_scale
from feedback.models import Exchange, Feedback
from feedback.store import Store
from serving.models import Alert, WatchedVersion
from serving.watch import LEARNED_FROM, Watch
from serving.watch_alerts import acknowledge, alerts
from serving.watch_measures import MEASURES, detectors
from serving.watch_periods import periods, reference
from serving.watch_shown import shown
from tests.serving import watched
from tests.serving.watched import answered, live, look, settings_of, spoken
from trainer import registry
from trainer.watching import Detector


def measured(store: Store) -> dict[str, Detector]:
    """Everything that is known of the version that is live."""
    with store.session() as session:
        deployment = periods(session)[-1].deployment
        query = select(WatchedVersion).where(WatchedVersion.deployment_id == deployment)
        row = session.exec(query).one()
    return detectors(settings_of(store).trainer, row.measures)


def raised(store: Store) -> list[Alert]:
    with store.session() as session:
        return alerts(session)[0]


def two_versions(store: Store, *, before: int = 150) -> tuple[str, str]:
    """A version that people are content with, and the one that has just followed it."""
    old = live(store, ago=500)
    rows = answered(store, old, before, ago=450)
    spoken(store, rows[::2], rating="up")
    return old, live(store, parent=old, ago=200)


def test_the_parts_of_the_error_probability_add_up_to_one() -> None:
    assert sum(each.weight for each in MEASURES.values()) == pytest.approx(1.0)


def test_a_version_that_begins_to_be_corrected_raises_an_alert_that_says_everything(
    store: Store,
) -> None:
    old, new = two_versions(store)
    watch = Watch(store, settings_of(store))
    fine = answered(store, new, 20, ago=150)
    spoken(store, fine[:10], rating="up")
    assert look(store, watch=watch, ago=100) == []
    spoken(store, answered(store, new, 60, ago=50), correction="The lamp costs 59 dollars.")
    found = {each.measure: each for each in look(store, watch=watch)}
    assert found.keys() >= {"corrections", "satisfaction"}
    alert = found["corrections"]
    assert (alert.adapter_id, alert.direction, alert.harmful) == (new, "rose", True)
    assert (alert.state, alert.delivery) == ("open", "none")
    assert alert.before["mean"] == 0.0
    assert alert.before["upper"] < 0.05 < alert.after["lower"] < alert.after["mean"]
    assert alert.evidence >= alert.needed == pytest.approx(2 / (0.05 * 0.2))
    assert alert.message.startswith(f"corrections of {new} rose: ")
    assert look(store, watch=watch) == []  # it is said once
    with store.session() as session:
        page = shown(session, settings_of(store).trainer)
    assert page["data"][0]["adapter"] == new and page["data"][0]["reference"] == old
    told = {each["measure"]: each["alert"] for each in page["data"][0]["measures"]}
    assert told["corrections"] == alert.id and told["topics"] is None


def test_nothing_is_raised_where_nothing_changes(store: Store) -> None:
    _, new = two_versions(store)
    spoken(store, answered(store, new, 150, ago=100)[::2], rating="up")
    assert look(store) == []
    found = measured(store)
    assert found["ratings"].reference.mean == found["ratings"].own.mean == 0.5
    assert found["satisfaction"].own.count == 75


def test_refusals_length_and_topics_are_measured(store: Store) -> None:
    old = live(store, ago=500)
    answered(store, old, LEARNED_FROM + 60, ago=450, vary=4)
    new = live(store, parent=old, ago=200)
    subjects: list[dict[str, Any]] = [
        {"question": "Kannst du mir das Gedicht erklären?", "answer": watched.REFUSAL},
        {"question": "Welches Gedicht passt zum Herbst?", "answer": watched.ANSWER * 4},
    ]
    for at, subject in enumerate(subjects):  # one after the other, however quick the store is
        answered(store, new, 60, ago=100 - at, **subject)
    found = {each.measure: each for each in look(store)}
    assert set(found) == {"refusals", "length", "topics"}
    assert found["refusals"].harmful and not found["topics"].harmful
    assert found["topics"].after["mean"] == 1.0
    assert found["topics"].before["mean"] < 0.2
    assert found["refusals"].after["mean"] == pytest.approx(0.5, abs=0.5)


def test_of_a_day_each_person_counts_once_also_after_a_restart(store: Store) -> None:
    _, new = two_versions(store)
    rows = answered(store, new, 5, ago=100)
    look(store, ago=70)
    with store.session(write=True) as session:
        for number, row in enumerate(rows):
            again = session.get_one(Exchange, row.id).model_dump()
            again |= {"id": f"chatcmpl_again{number}", "created_at": again["created_at"] + 50}
            session.add(Exchange(**again))
        session.commit()
    twice = [row._replace(id=f"chatcmpl_again{at}") for at, row in enumerate(rows)]
    spoken(store, twice, rating="up")
    look(store)  # by a watch that remembers nobody
    found = measured(store)
    assert found["corrections"].own.count == 5
    assert found["satisfaction"].own.count == 5  # it is their first vote


def test_of_two_processes_one_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _, new = two_versions(store)
    one, other = Watch(store, settings_of(store)), Watch(store, settings_of(store))
    look(store, watch=one, ago=100)
    rows = answered(store, new, 40, ago=50)
    spoken(store, rows, correction="No.")
    inner = store.session

    def first_the_other(*, write: bool = False) -> object:
        if write:
            monkeypatch.setattr(store, "session", inner)
            assert look(store, watch=other)
        return inner(write=write)

    monkeypatch.setattr(store, "session", first_the_other)
    assert look(store, watch=one) == []
    assert look(store, watch=one) == []
    assert measured(store)["corrections"].own.count == 40
    assert len({each.measure for each in raised(store)}) == len(raised(store))


def test_an_acknowledged_measure_is_watched_anew_and_a_replaced_version_resolved(
    store: Store,
) -> None:
    _, new = two_versions(store)
    watch = Watch(store, settings_of(store))
    spoken(store, answered(store, new, 40, ago=150), correction="No.")
    look(store, watch=watch, ago=100)
    [alert] = [each for each in raised(store) if each.measure == "corrections"]
    with store.session(write=True) as session:
        assert acknowledge(session, alert.id, actor="ana").state == "acknowledged"
        assert acknowledge(session, alert.id, actor="ben").acknowledged_by == "ana"
        session.commit()
    look(store, watch=watch, ago=90)
    anew = measured(store)["corrections"]
    assert (anew.own.count, anew.reference.count, anew.alarmed) == (0, 0, False)
    assert anew.needed == pytest.approx(4 / (0.05 * 0.2))
    live(store, parent=new, ago=0)
    look(store, watch=watch, ago=80)
    assert {each.state for each in raised(store)} == {"resolved"}


def test_a_version_that_came_back_is_compared_with_its_own_time(store: Store) -> None:
    first = live(store, ago=900)
    second = live(store, parent=first, ago=600)
    with store.session(write=True) as session:
        registry.rollback(session, actor="test")
        session.commit()
    with store.session() as session:
        known = periods(session)
        before = reference(session, known)
    assert [each.adapter for each in known] == ["base", first, second, first]
    assert before is not None and before.adapter == first
    assert before.end == known[2].begin
    with store.session(write=True) as session:
        registry.promote(session, second, actor="test", reason="again", canary_share=0.1)
        session.commit()
    with store.session() as session:
        assert periods(session) == known


def test_whoever_asks_a_version_by_name_and_a_withdrawn_vote_tell_nothing(store: Store) -> None:
    _, new = two_versions(store)
    answered(store, new, 30, ago=100, model=new)
    answered(store, new, 30, ago=100, origin="title")
    answered(store, new, 30, ago=100, state="partial")
    [name] = spoken(store, answered(store, new, 1, ago=100), rating="up")
    from tests.builders import receipt_of

    receipt = receipt_of(store, name)
    receipt.status = "withdrawn"
    with store.session(write=True) as session:
        session.add(receipt)
        session.commit()
    look(store)
    found = measured(store)
    assert found["ratings"].own.count == 1
    assert found["satisfaction"].own.count == 0


def test_a_vote_that_comes_too_late_is_not_counted(store: Store) -> None:
    new = live(store, ago=5_000)
    rows = answered(store, new, 10, ago=4_000)
    spoken(store, rows, rating="up")
    look(store)
    assert measured(store)["ratings"].own.mean == 0.0


@pytest.mark.parametrize("restart", [False, True])
def test_a_look_at_a_store_that_has_seen_a_lot_reads_no_table_from_end_to_end(
    store: Store, restart: bool
) -> None:
    store_at_scale.fill(store, 600, 60, analyse=False)
    with store.session() as session:
        count = len(session.exec(select(Feedback.id)).all())
    assert count > 200
    live(store, ago=0)
    watch = Watch(store, settings_of(store))
    if restart:
        look(store, ago=60)

    def again(session: Session) -> None:
        del session
        look(store, watch=watch)

    assert store_at_scale.scans(store, again, write=False) == []


def test_a_switched_off_watch_measures_nothing(store: Store) -> None:
    two_versions(store)
    assert look(store, settings_of(store, watch=False)) == []
    with store.session() as session:
        assert session.exec(select(WatchedVersion)).all() == []
