"""What is asked of a store that has seen a lot goes along an index."""

import pytest
from sqlmodel import Session, col, select

from benchmarks import store_at_scale
from feedback import harvest, receipts, review
from feedback.models import Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store

on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
"""PostgreSQL reads tables as small as a test's from end to end, and rightly so."""


def ask(session: Session) -> None:
    """A page of the queue, a receipt, and a round's harvest."""
    store_settings = FeedbackSettings(account_cap_minimum=200)
    rows, more = review.queue(session)
    assert more
    assert len(review.queue(session, after=rows[0].feedback.id, kind="correction")[0]) == 50
    receipts.receipt(session, rows[0].feedback.id)
    assert harvest.claim(session, store_settings, "rnd_1") == 200
    session.flush()
    assert len(harvest.words(session, "rnd_1")) == 200
    session.rollback()


@on_sqlite
def test_no_question_reads_a_table_from_end_to_end(store: Store) -> None:
    store_at_scale.fill(store, 2000, 200, lambda line: None)
    assert store_at_scale.scans(store, ask, write=True) == []


@on_sqlite
def test_a_question_without_an_index_would_be_seen(store: Store) -> None:
    store_at_scale.fill(store, 2000, 200, lambda line: None)

    def no_index(session: Session) -> None:
        session.exec(select(Feedback.id).where(col(Feedback.told_at) > 5)).all()

    assert store_at_scale.scans(store, no_index, write=False) == ["SCAN feedback"]


def test_the_queue_comes_in_the_order_of_its_cursor_whatever_the_status(store: Store) -> None:
    store_at_scale.fill(store, 800, 60, lambda line: None)
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
