"""What became of feedback, and taking it back."""

import pytest

from feedback import harvest, receipts
from feedback.errors import Conflict, NotFound
from feedback.models import STATUSES, Receipt
from feedback.store import Store
from tests import builders


def set_status(store: Store, feedback_id: str, status: str) -> None:
    with store.session(write=True) as session:
        receipts.decide(session, [session.get_one(Receipt, feedback_id)], status, "test")
        session.commit()


def withdraw(store: Store, feedback_id: str) -> Receipt:
    with store.session(write=True) as session:
        found = receipts.withdraw(session, feedback_id)
        session.commit()
    return found


def test_a_receipt_comes_with_its_feedback(store: Store) -> None:
    feedback_id = builders.say(store, rating="up")
    with store.session() as session:
        found, feedback = receipts.receipt(session, feedback_id)
    assert (found.feedback_id, feedback.id) == (feedback_id, feedback_id)


def test_an_unknown_id_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound), store.session() as session:
        receipts.receipt(session, "fbk_none")
    with pytest.raises(NotFound):
        withdraw(store, "fbk_none")


def test_a_vote_can_be_taken_back_twice(store: Store) -> None:
    feedback_id = builders.say(store, rating="up")
    assert withdraw(store, feedback_id).status == "withdrawn"
    first = builders.receipt_of(store, feedback_id).updated_at
    assert withdraw(store, feedback_id).status == "withdrawn"
    assert builders.receipt_of(store, feedback_id).updated_at == first


def test_what_was_forgotten_stays_forgotten(store: Store) -> None:
    feedback_id = builders.say(store, rating="up")
    set_status(store, feedback_id, "forgotten")
    assert withdraw(store, feedback_id).status == "forgotten"


def test_what_a_round_holds_or_has_learned_cannot_be_taken_back(store: Store) -> None:
    held = builders.say(store, rating="up")
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, "rnd_1")
        session.commit()
    with pytest.raises(Conflict, match="rnd_1"):
        withdraw(store, held)
    for status in ("used", "held_out"):
        done = builders.say(store, rating="up")
        set_status(store, done, status)
        with pytest.raises(Conflict):
            withdraw(store, done)


@pytest.mark.parametrize("status", ["review", "refused"])
def test_what_no_round_has_can_be_taken_back(store: Store, status: str) -> None:
    feedback_id = builders.say(store, rating="up")
    set_status(store, feedback_id, status)
    assert withdraw(store, feedback_id).status == "withdrawn"


def test_counts_name_every_status(store: Store) -> None:
    builders.say(store, rating="up")
    builders.say(store, correction="No.")
    with store.session() as session:
        found = receipts.counts(session)
    assert found == {**dict.fromkeys(STATUSES, 0), "waiting": 1, "review": 1}


def test_totals_count_what_was_said_by_kind(store: Store) -> None:
    other = builders.recorded(store)
    builders.say(store, rating="up", correction="No.")
    builders.say(store, "ben", signal="copy")
    builders.say(store, "ben", preferred_over=other)
    with store.session() as session:
        assert receipts.totals(session) == {
            "exchanges": 4,
            "feedback": 3,
            "ratings": 2,  # the builder's preference comes with a thumb
            "corrections": 1,
            "preferences": 1,
            "signals": 1,
            "people": 2,
        }
