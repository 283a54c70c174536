"""What a reviewer sees and decides, and how it is undone."""

import pytest
from sqlmodel import col, select

from feedback import harvest, review
from feedback.errors import Conflict, Invalid, NotFound, TooLarge
from feedback.models import Receipt, Review
from feedback.receipts import decide as set_status
from feedback.store import Store
from tests import builders
from tests.builders import decide


def claimed_words(store: Store, round_id: str = "rnd_1") -> list[harvest.Word]:
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, round_id)
        session.commit()
    with store.session() as session:
        return harvest.words(session, round_id)


def test_an_accepted_correction_is_learned_as_it_is(store: Store) -> None:
    feedback_id = builders.say(store, correction="It costs 59.")
    assert decide(store, feedback_id, "accept", reason="Checked.").status == "waiting"
    assert "Checked." in builders.receipt_of(store, feedback_id).reason
    [word] = claimed_words(store)
    assert (word.correction, word.accepted_by) == ("It costs 59.", "reviewer")


def test_an_edit_replaces_what_the_person_wrote(store: Store) -> None:
    feedback_id = builders.say(store, correction="59!!")
    decide(store, feedback_id, "edit", correction="The lamp costs 59 dollars.")
    assert [word.correction for word in claimed_words(store)] == ["The lamp costs 59 dollars."]


def test_a_remark_teaches_once_a_reviewer_adds_the_answer(store: Store) -> None:
    feedback_id = builders.say(store, comment="That is wrong.")
    assert builders.receipt_of(store, feedback_id).status == "review"
    decide(store, feedback_id, "edit", correction="The lamp costs 59 dollars.")
    assert [word.correction for word in claimed_words(store)] == ["The lamp costs 59 dollars."]


def test_an_accepted_remark_without_an_answer_makes_no_round_due(store: Store) -> None:
    decide(store, builders.say(store, comment="Nice shop."), "accept")
    with store.session() as session:
        assert harvest.available(session) == 0


def test_the_last_decision_counts(store: Store) -> None:
    feedback_id = builders.say(store, correction="It costs 59.")
    decide(store, feedback_id, "edit", correction="It costs 60.")
    decide(store, feedback_id, "refuse")
    assert builders.receipt_of(store, feedback_id).status == "refused"
    decide(store, feedback_id, "accept")
    assert [word.correction for word in claimed_words(store)] == ["It costs 59."]


def test_undoing_an_edit_gives_the_persons_own_words_back(store: Store) -> None:
    """Otherwise a quorum would accept what the person said, and the round learn the edit."""
    feedback_id = builders.say(store, correction="It costs 59.")
    decide(store, feedback_id, "edit", correction="It costs 60.")
    reopened = decide(store, feedback_id, "reopen")
    assert (reopened.status, reopened.accepted_by) == ("review", None)
    with store.session() as session:
        found = review.decisions(session, select(Receipt.feedback_id))
    assert found[feedback_id].correction is None


def test_every_decision_is_kept_with_who_made_it(store: Store) -> None:
    feedback_id = builders.say(store, correction="It costs 59.")
    for decision in ("accept", "reopen", "refuse"):
        decide(store, feedback_id, decision)
    with store.session() as session:
        kept = session.exec(select(Review).order_by(col(Review.created_at))).all()
    assert [(each.decision, each.reviewer) for each in kept] == [
        ("accept", "rita"),
        ("reopen", "rita"),
        ("refuse", "rita"),
    ]


def test_what_a_round_has_is_no_longer_decided(store: Store) -> None:
    feedback_id = builders.say(store, rating="up")
    claimed_words(store)
    with pytest.raises(Conflict, match="rnd_1"):
        decide(store, feedback_id, "refuse")
    for status in ("used", "held_out", "withdrawn", "forgotten"):
        with store.session(write=True) as session:
            set_status(session, [session.get_one(Receipt, feedback_id)], status, "")
            session.commit()
        with pytest.raises(Conflict):
            decide(store, feedback_id, "accept")
    with store.session() as session:
        assert session.exec(select(Review)).all() == []


def test_refuses_decisions_that_make_no_sense(store: Store) -> None:
    feedback_id = builders.say(store, correction="It costs 59.")
    conversation = builders.tell(store, builders.told(conversation_id="c", signal="return"))[0]
    for decision, more, error in (
        ("edit", "", Invalid),
        ("accept", "It costs 60.", Invalid),
        ("edit", " ", Invalid),
        ("edit", "a\x00", Invalid),
        ("edit", "x" * 70_000, TooLarge),
    ):
        with pytest.raises(error):
            decide(store, feedback_id, decision, correction=more or None)
    for reason in ("a\x00", "\ud800"):
        with pytest.raises(Invalid):
            decide(store, feedback_id, "refuse", reason=reason)
    with pytest.raises(Invalid):
        decide(store, conversation, "edit", correction="No.")
    with pytest.raises(NotFound):
        decide(store, "fbk_none", "accept")
    assert builders.receipt_of(store, feedback_id).status == "review"


def test_the_queue_comes_oldest_first_in_pages(store: Store) -> None:
    said = sorted(builders.say(store, correction=f"It costs {n}.") for n in range(5))
    with store.session() as session:
        first, more = review.queue(session, limit=3)
        second, still_more = review.queue(session, limit=3, after=first[-1].feedback.id)
    assert [row.feedback.id for row in (*first, *second)] == said
    assert (more, still_more) == (True, False)
    assert all(row.exchange is not None for row in first)


def test_the_queue_can_be_narrowed_by_kind_and_adapter(store: Store) -> None:
    other = builders.recorded(store)
    about = builders.recorded(store, adapter_id="adp_1")
    ids = {
        "correction": builders.say(store, correction="It costs 59."),
        "comment": builders.say(store, comment="Hm.", completion_id=about),
        "rating": builders.say(store, rating="up"),
        "signal": builders.say(store, signal="copy"),
        "preference": builders.tell(
            store,
            builders.told(completion_id=builders.recorded(store), preferred_over=other, signal="x"),
        )[0],
    }
    with store.session(write=True) as session:
        set_status(session, session.exec(select(Receipt)).all(), "review", "")
        session.commit()
    with store.session() as session:
        for kind, feedback_id in ids.items():
            found = {row.feedback.id for row in review.queue(session, kind=kind)[0]}
            assert feedback_id in found
            assert len(found) <= 2  # the preference here is a signal as well
        found = {row.feedback.id for row in review.queue(session, adapter="adp_1")[0]}
        assert found == {ids["comment"]}
        with pytest.raises(Invalid, match="comment, correction"):
            review.queue(session, kind="nonsense")
