"""How long things are kept."""

import time
from typing import Any

import pytest
from sqlmodel import select

from feedback import forget, retention
from feedback.models import Exchange, Feedback, Review
from feedback.retention import Purged
from feedback.store import Store
from tests import builders
from tests.builders import DAY_SECONDS

NOW = time.time()


def old(store: Store, days: float, **columns: Any) -> str:
    return builders.recorded(store, created_at=NOW - days * DAY_SECONDS, **columns)


def said(store: Store, about: str | None, days: float, **fields: Any) -> str:
    if about is not None:
        fields["completion_id"] = about
    name = builders.say(store, **fields)
    with store.session(write=True) as session:
        row = session.get_one(Feedback, name)
        row.received_at = NOW - days * DAY_SECONDS
        session.add(row)
        session.commit()
    return name


def purge(store: Store, *, dry_run: bool = False, **days: float) -> Purged:
    changed = store.settings
    store.settings = changed.model_copy(update=days)
    try:
        return retention.purge(store, now_seconds=NOW, dry_run=dry_run)
    finally:
        store.settings = changed


def ids(store: Store) -> set[str]:
    with store.session() as session:
        return set(session.exec(select(Exchange.id)))


def test_by_default_everything_is_kept(store: Store) -> None:
    old(store, 10_000)
    assert purge(store) == Purged()
    assert len(ids(store)) == 1


def test_what_nobody_spoke_of_is_deleted_after_its_days(store: Store) -> None:
    gone = [old(store, 31) for _ in range(3)]
    fresh, spoken_of, passed_over = old(store, 29), old(store, 31), old(store, 31)
    said(store, spoken_of, 31, rating="up")
    said(store, fresh, 1, preferred_over=passed_over)
    assert purge(store, dry_run=True, keep_unrated_days=30) == Purged(unrated=3)
    assert len(ids(store)) == 6
    assert purge(store, keep_unrated_days=30) == Purged(unrated=3)
    assert ids(store).isdisjoint(gone)
    assert ids(store) == {fresh, spoken_of, passed_over}
    assert purge(store, keep_unrated_days=30) == Purged()


def test_what_somebody_spoke_of_loses_its_texts_and_keeps_its_receipts(store: Store) -> None:
    about = old(store, 50, question="a secret question")
    waiting = said(store, about, 45, rating="down", comment="a secret comment")
    held = said(store, about, 45, who="ben", correction="a secret correction")
    used = said(store, about, 45, who="eve", rating="up")
    with store.session(write=True) as session:
        receipt = builders.receipt_of(store, used)
        receipt.status, receipt.adapter_id, receipt.reason = "used", "adp_1", "Learned."
        session.add(receipt)
        session.add(
            Review(
                id="rev_1",
                feedback_id=held,
                decision="reopen",
                correction="a secret edit",
                reviewer="rita",
                created_at=0,
            )
        )
        session.commit()
    lately = old(store, 50)
    said(store, lately, 1, rating="up")
    assert purge(store, dry_run=True, keep_rated_days=40) == Purged(rated=1, feedback=3)
    assert purge(store, keep_rated_days=40) == Purged(rated=1, feedback=3)
    with store.session() as session:
        row = session.get_one(Exchange, about)
        assert (row.messages, row.state) == ([], "forgotten")
        assert row.person_id == builders.person("ana")  # so that she can still be forgotten
        assert session.get_one(Exchange, lately).messages
        assert session.exec(select(Review)).all() == []
    for name in (waiting, held, used):
        assert builders.feedback_of(store, name).body == {}
    assert builders.receipt_of(store, waiting).status == "forgotten"
    assert "40 days" in builders.receipt_of(store, held).reason
    learned = builders.receipt_of(store, used)
    assert (learned.status, learned.adapter_id, learned.reason) == ("used", "adp_1", "Learned.")
    assert purge(store, keep_rated_days=40) == Purged()
    with store.session() as session:
        found = forget.trace(session, [builders.person("ana")])
    assert about in found.exchanges and {waiting, held, used} <= found.feedback


def test_what_a_round_holds_is_left_until_it_has_ended(store: Store) -> None:
    about = old(store, 50)
    name = said(store, about, 45, rating="up")
    with store.session(write=True) as session:
        receipt = builders.receipt_of(store, name)
        receipt.round_id = "rnd_1"
        session.add(receipt)
        session.commit()
    assert purge(store, keep_rated_days=40) == Purged()
    with store.session(write=True) as session:
        receipt.round_id = None
        session.add(receipt)
        session.commit()
    assert purge(store, keep_rated_days=40) == Purged(rated=1, feedback=1)


def test_what_was_said_of_a_whole_conversation_goes_too(store: Store) -> None:
    name = said(store, None, 45, conversation_id="talk", survey={"why?": "a secret"})
    assert purge(store, dry_run=True, keep_rated_days=40) == Purged(feedback=1)
    assert purge(store, keep_rated_days=40) == Purged(feedback=1)
    assert builders.feedback_of(store, name).body == {}
    assert purge(store, keep_rated_days=40) == Purged()


def test_many_are_emptied_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 4)
    same = NOW - 60 * DAY_SECONDS
    for _ in range(10):
        builders.recorded(store, created_at=same)
    for _ in range(9):
        said(store, old(store, 60), 60, rating="up")
    both: dict[str, Any] = {"keep_unrated_days": 30.0, "keep_rated_days": 30.0}
    assert purge(store, dry_run=True, **both) == Purged(unrated=10, rated=9, feedback=9)
    assert purge(store, **both) == Purged(unrated=10, rated=9, feedback=9)
