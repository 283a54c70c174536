"""What harms is rolled back where that is wished, once, and nothing else is, on both databases."""

from typing import Any

from sqlmodel import select

from feedback.store import Store
from serving.models import Alert, AuditEntry
from serving.watch import Watch
from serving.watch_alerts import acknowledge, alerts
from serving.watch_rollback import ACTOR
from tests.builders import opened_round
from tests.serving.watched import answered, deployed, live, look, settings_of, spoken
from trainer import registry
from trainer.models import RoundEvent


def corrected(store: Store, adapter: str, *, ago: float, count: int = 40, **columns: Any) -> None:
    """So many new people ask a version, and correct it."""
    rows = answered(store, adapter, count, ago=ago, **columns)
    spoken(store, rows, correction="The lamp costs 59 dollars.")


def liked(store: Store, adapter: str, *, ago: float, count: int = 120) -> None:
    """So many new people ask a version; every second likes it."""
    spoken(store, answered(store, adapter, count, ago=ago)[::2], rating="up")


def of_measure(store: Store, measure: str) -> Alert:
    with store.session() as session:
        return next(each for each in alerts(session)[0] if each.measure == measure)


def test_a_version_that_is_corrected_a_lot_is_rolled_back_once(store: Store) -> None:
    made_by = opened_round(store)
    old = live(store, ago=500)
    liked(store, old, ago=450)
    new = live(store, parent=old, ago=300, round_id=made_by.id)
    watch = Watch(store, settings_of(store, watch_rollback=True))
    corrected(store, new, ago=250)
    assert look(store, watch=watch, ago=200)
    after = deployed(store)
    assert (after.live_id, after.actor) == (old, ACTOR)
    assert after.reason.startswith(f"{new} is rolled back. ")
    alert = of_measure(store, "corrections")
    assert (alert.rolled_back_to, alert.rollback) == (old, f"rolled back to {old}")
    with store.session() as session:
        [line] = session.exec(select(AuditEntry)).all()
        [event] = session.exec(select(RoundEvent)).all()
    assert (line.actor, line.action, line.subject) == (ACTOR, "adapter.rollback", new)
    assert line.detail == event.message == after.reason
    assert (event.round_id, event.stage) == (made_by.id, "watch")
    # It is live again, and what happens now is for somebody to look at.
    corrected(store, old, ago=-5)
    look(store, watch=watch, ago=-10)
    assert of_measure(store, "corrections").adapter_id == old
    assert "somebody has to look" in of_measure(store, "corrections").rollback
    assert deployed(store).generation == after.generation


def test_by_default_nothing_is_rolled_back(store: Store) -> None:
    old = live(store, ago=500)
    liked(store, old, ago=450)
    new = live(store, parent=old, ago=300)
    corrected(store, new, ago=250)
    assert look(store)
    assert deployed(store).live_id == new
    assert of_measure(store, "corrections").rollback == ""


def test_what_people_ask_is_not_the_versions_fault(store: Store) -> None:
    old = live(store, ago=500)
    answered(store, old, 400, ago=450)
    new = live(store, parent=old, ago=300)
    settings = settings_of(store, watch_rollback=True)
    corrected(store, new, ago=250, question="Welches Gedicht passt zum Herbst?")
    found = {each.measure for each in look(store, settings)}
    assert {"topics", "corrections"} <= found
    assert "what people ask" in of_measure(store, "corrections").rollback
    assert of_measure(store, "topics").rollback == ""
    assert deployed(store).live_id == new


def test_what_merely_drifts_is_not_rolled_back(store: Store) -> None:
    old = live(store, ago=500)
    liked(store, old, ago=450)
    new = live(store, parent=old, ago=300)
    spoken(store, answered(store, new, 60, ago=250), rating="up")  # twice as many vote
    [alert] = look(store, settings_of(store, watch_rollback=True))
    assert (alert.measure, alert.direction, alert.harmful) == ("ratings", "rose", False)
    assert deployed(store).live_id == new


def test_a_rollback_waits_for_the_end_of_a_canary(store: Store) -> None:
    old = live(store, ago=500)
    liked(store, old, ago=450)
    new = live(store, parent=old, ago=300)
    with store.session(write=True) as session:
        registry.promote(session, old, actor="ana", reason="beside it", canary_share=0.1)
        session.commit()
    corrected(store, new, ago=250)
    watch = Watch(store, settings_of(store, watch_rollback=True))
    look(store, watch=watch, ago=200)
    assert "is being compared" in of_measure(store, "corrections").rollback
    assert deployed(store).live_id == new
    with store.session(write=True) as session:
        registry.rollback(session, actor="ana")
        session.commit()
    assert look(store, watch=watch, ago=190) == []
    assert deployed(store).live_id == old


def test_who_has_taken_note_of_an_alert_decides(store: Store) -> None:
    old = live(store, ago=500)
    liked(store, old, ago=450)
    new = live(store, parent=old, ago=300)
    corrected(store, new, ago=250)
    for alert in look(store, ago=200):
        with store.session(write=True) as session:
            acknowledge(session, alert.id, actor="ana")
            session.commit()
    look(store, settings_of(store, watch_rollback=True), ago=190)
    assert deployed(store).live_id == new


def test_before_the_base_model_there_is_nothing(store: Store) -> None:
    liked(store, "base", ago=450)
    corrected(store, "base", ago=400, count=80)
    assert look(store, settings_of(store, watch_rollback=True))
    assert "nothing before it" in of_measure(store, "corrections").rollback
