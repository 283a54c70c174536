"""What is asked of a store that has seen a lot goes along an index, past everything else."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from benchmarks import store_at_scale
from feedback import harvest, receipts, review
from feedback.models import Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders

SETTINGS = FeedbackSettings(account_cap_minimum=200)
# Nothing is analysed: SQLite would see how small these tables are and read them from end to end.


def page(session: Session) -> None:
    rows, more = review.queue(session)
    assert more
    assert len(review.queue(session, after=rows[0].feedback.id, kind="correction")[0]) == 50


def receipt(session: Session) -> None:
    receipts.receipt(session, session.exec(select(Feedback.id).limit(1)).one())


def available(session: Session) -> None:
    assert harvest.available(session) == 200


def gather(session: Session) -> None:
    weights = harvest.weigh(session, SETTINGS)
    assert harvest.claim(session, SETTINGS, "rnd_1", weights) >= 200
    session.flush()
    words = harvest.words(session, "rnd_1")
    assert sum(word.kind != "signal" for word in words) == 200
    session.rollback()


@pytest.mark.parametrize("ask", [page, receipt, available, gather])
def test_no_question_reads_a_table_from_end_to_end(
    store: Store, ask: Callable[[Session], None]
) -> None:
    store_at_scale.fill(store, 2000, 200, analyse=False)
    assert store_at_scale.scans(store, ask, write=True) == []


def test_a_question_without_an_index_would_be_seen(store: Store) -> None:
    store_at_scale.fill(store, 2000, 200, analyse=False)

    def no_index(session: Session) -> None:
        session.exec(select(Feedback.id).where(col(Feedback.told_at) > 5)).all()

    (step,) = store_at_scale.scans(store, no_index, write=False)
    assert ("SCAN feedback" if store.is_sqlite else "Seq Scan on feedback") in step


def test_signals_and_what_was_used_are_no_part_of_what_is_claimed_from(store: Store) -> None:
    store_at_scale.fill(store, 2000, 200)
    if not store.is_sqlite:  # what earlier tests left behind makes an index look long
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM FULL ANALYZE receipt"))
    steps = store_at_scale.plans(store, available, write=False)
    assert any("ix_receipt_claimable" in step for step in steps)


def test_what_a_reviewer_edits_becomes_claimable_and_a_remark_does_not(store: Store) -> None:
    remark = builders.say(store, comment="Hm.")
    edited = builders.say(store, comment="It is dearer.")
    builders.decide(store, remark)
    builders.decide(store, edited, "edit", correction="59.")
    with store.session() as session:
        assert harvest.available(session) == 1
    assert builders.receipt_of(store, edited).teaches
    assert not builders.receipt_of(store, remark).teaches


def test_the_queue_comes_in_the_order_of_its_cursor_whatever_the_status(store: Store) -> None:
    store_at_scale.fill(store, 800, 60)
    for status in ("review", "waiting", "used"):
        seen: list[str] = []
        more = True
        with store.session() as session:
            while more:
                after = seen[-1] if seen else None
                rows, more = review.queue(session, status=status, after=after, limit=37)
                seen += [row.feedback.id for row in rows]
            query = select(Receipt.feedback_id).where(Receipt.status == status)
            assert seen == sorted(session.exec(query))
