"""Lanes, filters, search, order and the next item: what a reviewer is shown."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import col, select

from benchmarks import store_at_scale
from feedback import (
    drafts,
    forget,
    receipts,
    review_actions,
    review_index,
    review_notes,
    review_order,
)
from feedback import review_queue as queue
from feedback.errors import Forbidden, Invalid, NotFound
from feedback.review_models import ReviewItem
from feedback.review_queue import Filters
from feedback.store import Store
from tests import builders


def indexed(store: Store) -> None:
    """Bring the queue in order, as the scheduler does now and then."""
    with store.session(write=True) as session:
        while review_index.refresh(session):
            pass
        session.commit()
    with store.session() as session:
        placed = review_order.measure(session, store.settings)
    with store.session(write=True) as session:
        review_order.write(session, placed)
        session.commit()


def found(
    store: Store, *, reviewer: str = "rita", order: Any = "oldest", **asked: Any
) -> list[str]:
    with store.session() as session:
        rows, _ = queue.find(session, Filters(**asked), reviewer=reviewer, order=order)
    return [row.feedback.id for row in rows]


def taken(store: Store, reviewer: str, now: float = 1000.0, **more: Any) -> str | None:
    with store.session(write=True) as session:
        row = queue.next_item(
            session,
            store.settings,
            Filters(),
            reviewer=reviewer,
            now_seconds=now,
            **more,
        )
        session.commit()
    return row.feedback.id if row else None


def lane_of(store: Store, feedback_id: str) -> str:
    with store.session() as session:
        item = session.exec(select(ReviewItem).where(ReviewItem.feedback_id == feedback_id)).one()
    return str(item.lane)


def test_every_decision_moves_an_item_to_its_lane_and_undo_moves_it_back(store: Store) -> None:
    ids = [builders.say(store, correction=f"It costs {n}.") for n in range(4)]
    builders.say(store, rating="up")  # which never comes to review
    for feedback_id, decision in zip(ids, ("accept", "refuse", "edit"), strict=False):
        correction = "It costs 60." if decision == "edit" else None
        builders.decide(store, feedback_id, decision, correction=correction)
    lanes = ("accepted", "refused", "edited", "waiting")
    assert [found(store, lane=lane) for lane in lanes] == [[each] for each in ids]
    with store.session() as session:
        assert queue.lanes(session, reviewer="rita") == {
            **dict.fromkeys(lanes, 1),
            "disagreement": 0,
            "draft": 0,
        }
    with store.session(write=True) as session:
        for feedback_id in ids[:3]:
            review_actions.undo(session, feedback_id, reviewer="rita")
        session.commit()
    assert found(store) == ids


def test_an_item_follows_its_receipt_whoever_changes_it(store: Store) -> None:
    """A quorum, a round and the person themselves know nothing of lanes."""
    name = builders.say(store, correction="It costs 59.")
    with store.session(write=True) as session:
        for status, lane in (
            ("waiting", "accepted"),
            ("refused", "refused"),
            ("review", "waiting"),
            ("withdrawn", "gone"),
        ):
            receipts.decide(session, [receipts.receipt(session, name)[0]], status, "")
            session.flush()
            session.expire_all()
            item = session.exec(select(ReviewItem)).one()
            assert item.lane == lane
        session.commit()
    assert found(store, lane="all") == []


def test_filters_narrow_the_queue_and_all_of_them_have_to_hold(store: Store) -> None:
    german = builders.recorded(store, question="Was kostet die Lampe bei Ihnen im Laden?", who="bo")
    other = builders.recorded(store, adapter_id="adp_1")
    fix = builders.say(store, correction="It costs 59.", reasons=["wrong", "too long"])
    liked = builders.say(store, "bo", completion_id=german, rating="down", correction="59 Euro.")
    remark = builders.say(store, completion_id=other, comment="The lamp is ugly.")
    indexed(store)
    with store.session(write=True) as session:
        review_notes.tag(session, remark, reviewer="rita", add=["taste"])
        session.commit()
    at = builders.feedback_of(store, liked).received_at
    asked: dict[str, Any]
    for asked, expected in (
        ({"kind": "correction"}, [fix, liked]),
        ({"kind": "comment"}, [remark]),
        ({"rating": "down"}, [liked]),
        ({"rating": "up"}, []),
        ({"adapter": "adp_1"}, [remark]),
        ({"person": builders.person("bo")}, [liked]),
        ({"language": "de"}, [liked]),
        ({"tag": "taste"}, [remark]),
        ({"tag": "wrong"}, []),
        ({"reason": "too long"}, [fix]),
        ({"since": at}, [liked, remark]),
        ({"until": at}, [fix]),
        ({"trust_from": 0.5}, [fix, liked, remark]),
        ({"trust_to": 0.5}, []),
        ({"kind": "correction", "language": "de"}, [liked]),
        ({"kind": "comment", "language": "de"}, []),
        ({"topic": "none"}, []),
    ):
        assert found(store, **asked) == expected, asked


def test_search_finds_every_word_and_beginnings_the_same_on_both_databases(store: Store) -> None:
    price = builders.say(store, correction="It costs 59 dollars; ÜBERTEUERT!")
    blue = builders.say(store, comment="Is the café's lamp blue?")
    indexed(store)
    for words, expected in (
        ("dollars", [price, blue]),  # the answer of both has it
        ("59 dollars", [price]),
        ("DOLLARS, 59!", [price]),
        ("überteuert", [price]),
        ("uberteuert", []),
        ("café", [blue]),
        ("blu*", [blue]),
        ("blu", []),
        ("dol* 59*", [price]),
        ("blue 59", []),
        ("café's lamp", [blue]),
        ("\" OR lamp) NOT 'blue' & |", []),
    ):
        assert found(store, q=words) == expected, words
    for nothing in ("", " * ", "?!"):
        with pytest.raises(Invalid):
            found(store, q=nothing)


def test_what_was_said_is_found_no_more_once_it_is_forgotten(store: Store) -> None:
    builders.say(store, correction="My name is Zanzibar.")
    indexed(store)
    assert len(found(store, q="zanzibar")) == 1
    with store.session(write=True) as session:
        forget.erase(session, forget.trace(session, [builders.person()]))
        session.commit()
        assert found(store, q="zanzibar", lane="all") == []
        assert session.exec(select(ReviewItem)).all() == []
    if store.is_sqlite:
        assert forget.overwrite(store)
        path = store.settings.data_dir / "heed.sqlite3"
        assert b"zanzibar" not in path.read_bytes().lower()


def test_the_best_first_order_says_why(store: Store) -> None:
    lone = builders.say(store, "ana", correction="It is made of oak, says my friend.")
    pair = [builders.say(store, who, correction="It costs 59 dollars.") for who in ("bo", "cy")]
    again = builders.say(store, "di", correction="it costs 59 dollars")
    indexed(store)
    with store.session() as session:
        rows, _ = queue.find(session, Filters(), reviewer="rita")
    assert [row.feedback.id for row in rows] == [*pair, again, lone]
    assert [row.alike for row in rows] == [3, 3, 3, 1]
    assert "settles 3 that say nearly the same" in rows[0].item.why
    assert "right by what is known" in rows[3].item.why
    assert found(store, order="oldest") == [lone, *pair, again]
    assert found(store, order="newest") == [again, *pair[::-1], lone]


def test_each_reason_for_an_order_counts_and_is_told_in_words() -> None:
    plain = review_order.Worth(alike=1, asked=1, right=0.5)
    for more, words in (
        ({"alike": 2}, "settles 2"),
        ({"asked": 16}, "asked 16 times"),
        ({"liked": 2, "disliked": 2}, "people disagree: 2 liked this answer, 2 did not"),
        ({"agree": 2}, "2 of 3 accounts agree"),
    ):
        other = plain._replace(**more)
        assert other.value() > plain.value()
        assert words in other.why()
    sure = plain._replace(right=0.99)
    assert sure.value() < plain.value()
    assert plain._replace(agree=3).value() == plain.value()  # they accept it without anybody
    assert plain._replace(right=1.0).why() == "Nothing else is known of it."


@pytest.mark.parametrize("order", ["best", "oldest", "newest"])
def test_pages_of_every_order_show_each_item_once(store: Store, order: Any) -> None:
    ids = {builders.say(store, correction=f"It costs {n % 3} dollars {n}.") for n in range(7)}
    indexed(store)
    seen: list[str] = []
    after, more = None, True
    with store.session() as session:
        while more:
            rows, more = queue.find(
                session, Filters(), reviewer="rita", order=order, after=after, limit=3
            )
            seen += [row.feedback.id for row in rows]
            after = seen[-1]
        assert len(seen) == 7 and set(seen) == ids
        with pytest.raises(Invalid, match="after"):
            queue.find(session, Filters(), reviewer="rita", order="best", after="fbk_none")


def test_a_draft_has_a_lane_of_its_owners(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    with store.session(write=True) as session:
        drafts.save(session, store.settings, name, reviewer="rita", correction="It co")
        session.commit()
    assert found(store, lane="draft", reviewer="rita") == [name]
    assert found(store, lane="draft", reviewer="sam") == []
    builders.decide(store, name, "edit", correction="It costs 59.")
    assert found(store, lane="draft", reviewer="rita") == []


def test_comments_and_tags_stay_beside_an_item(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    with store.session(write=True) as session:
        review_notes.comment(session, store.settings, name, reviewer="rita", text="Is it?")
        assert review_notes.tag(session, name, reviewer="rita", add=["price", "price "]) == [
            "price"
        ]
        assert review_notes.tag(session, name, reviewer="sam", add=["a"], remove=["price"]) == ["a"]
        assert [each.text for each in review_notes.comments(session, name)] == ["Is it?"]
        [row], _ = queue.find(session, Filters(), reviewer="rita")
        assert (row.tags, row.comments) == (("a",), 1)
        for text in ("", " ", "a\x00"):
            with pytest.raises(Invalid):
                review_notes.comment(session, store.settings, name, reviewer="rita", text=text)
        for tag in ("", "x" * 101):
            with pytest.raises(Invalid):
                review_notes.tag(session, name, reviewer="rita", add=[tag])
        with pytest.raises(NotFound):
            review_notes.tag(session, "fbk_none", reviewer="rita", add=["a"])


def test_saved_queues_are_ones_own_unless_they_are_shared(store: Store) -> None:
    with store.session(write=True) as session:
        mine = review_notes.save_queue(
            session, owner="rita", name="prices", filters={"q": "price*"}, shared=True
        )
        own = review_notes.save_queue(session, owner="sam", name="prices", filters={})
        session.flush()
        assert {each.id for each in review_notes.queues(session, reviewer="sam")} == {
            mine.id,
            own.id,
        }
        assert [each.id for each in review_notes.queues(session, reviewer="rita")] == [mine.id]
        again = review_notes.save_queue(
            session, owner="rita", name="prices", filters={"lane": "draft"}
        )
        assert (again.id, again.filters, again.shared) == (mine.id, {"lane": "draft"}, False)
        with pytest.raises(NotFound):
            review_notes.delete_queue(session, own.id, reviewer="rita")
        again.shared = True
        with pytest.raises(Forbidden):
            review_notes.delete_queue(session, mine.id, reviewer="sam")
        review_notes.delete_queue(session, mine.id, reviewer="sam", is_admin=True)
        session.flush()
        assert review_notes.queues(session, reviewer="rita") == []


def test_nothing_a_reviewer_asks_reads_a_table_from_end_to_end(store: Store) -> None:
    store_at_scale.fill(store, 2000, 200, analyse=False)
    with store.session(write=True) as session:
        review_index.refresh(session, most=1000)
        session.commit()
        session.commit()

    def walk(session: Any) -> None:
        for asked in ({}, {"topic": "a"}, {"adapter": "adp_1"}):
            queue.find(session, Filters.model_validate(asked), reviewer="rita")
        for order in ("best", "oldest", "newest"):
            rows, more = queue.find(session, Filters(), reviewer="rita", order=order, limit=20)
            assert more
            queue.find(session, Filters(), reviewer="rita", order=order, after=rows[-1].feedback.id)
        row = queue.next_item(session, store.settings, Filters(), reviewer="rita", now_seconds=1000)
        assert row is not None
        queue.alike(session, row.feedback.id, reviewer="rita", now_seconds=1000)

    def look_up(session: Any) -> None:
        asked: dict[str, Any]
        for asked in ({"person": "per_1"}, {"tag": "a"}, {"q": "word1* word2"}, {"lane": "draft"}):
            queue.find(session, Filters.model_validate(asked), reviewer="rita")
        queue.find(session, Filters(reason="a"), reviewer="rita", order="newest")

    for ask, costly in ((walk, (*WHOLE, *SORTED)), (look_up, WHOLE)):
        steps = steps_of(store, ask)
        assert [step for step in steps if any(each in step for each in costly)] == []
        assert any("ix_review_item" in step for step in steps)


def test_a_question_that_reads_the_whole_queue_would_be_seen(store: Store) -> None:
    """The check above can fail."""
    store_at_scale.fill(store, 2000, 200, analyse=False)

    def ask(session: Any) -> None:
        order = col(ReviewItem.rank)
        session.exec(select(ReviewItem).where(ReviewItem.why == "").order_by(order)).all()

    steps = steps_of(store, ask)
    assert any(each in step for step in steps for each in SORTED)
    assert not store.is_sqlite or any(each in step for step in steps for each in WHOLE)


WHOLE = ("SCAN reviewitem", "Seq Scan on reviewitem")
SORTED = ("USE TEMP B-TREE FOR ORDER BY", "Sort Key: reviewitem.rank", "Sort Key: rank")
"""PostgreSQL names the table only in a query of several."""


def steps_of(store: Store, ask: Any) -> list[str]:
    """Every step of its queries' plans, those too that stop once a page is full."""
    steps: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "reviewitem" not in statement or not statement.lstrip().startswith("SELECT"):
            return
        asking = connection.connection.cursor()
        if not store.is_sqlite:  # small tables it would read from end to end, or sort
            for way in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
                asking.execute(f"SET LOCAL enable_{way} = off")
        asking.execute(
            ("EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN ") + statement, values
        )
        steps.extend(str(row[-1]) for row in asking.fetchall())
        asking.close()

    event.listen(store.engine, "before_cursor_execute", explain)
    try:
        with store.session(write=True) as session:
            ask(session)
    finally:
        event.remove(store.engine, "before_cursor_execute", explain)
    return steps
