"""What became of feedback, and taking it back."""

from typing import Any

import pytest

from feedback import harvest, receipts, review
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


def claim(store: Store, round_id: str) -> set[str]:
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, round_id)
        session.commit()
    with store.session() as session:
        return {word.feedback_id for word in harvest.words(session, round_id)}


def release(store: Store, round_id: str) -> None:
    with store.session(write=True) as session:
        harvest.release(session, round_id, "Given back.")
        session.commit()


def vote(store: Store, about: str, at: float, **said: Any) -> str:
    return builders.say(store, completion_id=about, created_at=1_700_000_000 + at, **said)


def test_withdrawing_a_vote_revives_the_one_it_replaced(store: Store) -> None:
    about = builders.recorded(store)
    first, second = vote(store, about, 1, rating="up"), vote(store, about, 2, rating="down")
    assert claim(store, "rnd_1") == {second}
    found = builders.receipt_of(store, first)
    assert (found.status, found.role) == ("refused", receipts.REPLACED)
    assert second in found.reason
    release(store, "rnd_1")
    withdraw(store, second)
    found = builders.receipt_of(store, first)
    assert (found.status, found.role) == ("waiting", None)
    assert claim(store, "rnd_2") == {first}


def test_a_chain_of_votes_revives_the_last_that_is_left(store: Store) -> None:
    about = builders.recorded(store)
    one, two, three = (vote(store, about, at, rating="up") for at in range(3))
    assert claim(store, "rnd_1") == {three}
    release(store, "rnd_1")
    withdraw(store, three)
    assert [builders.receipt_of(store, name).status for name in (one, two)] == [
        "refused",
        "waiting",
    ]
    assert two in builders.receipt_of(store, one).reason
    withdraw(store, two)
    assert builders.receipt_of(store, one).status == "waiting"


def test_what_was_refused_for_another_reason_or_used_is_not_revived(store: Store) -> None:
    about = builders.recorded(store)
    one, two, three = (vote(store, about, at, rating="up") for at in range(3))
    assert claim(store, "rnd_1") == {three}
    release(store, "rnd_1")
    with store.session(write=True) as session:
        review.decide(session, store.settings, feedback_id=one, decision="refuse", reviewer="rita")
        used = session.get_one(Receipt, two)
        used.status, used.role = "used", "verdict"
        session.add(used)
        session.commit()
    withdraw(store, three)
    assert builders.receipt_of(store, one).status == "refused"
    assert builders.receipt_of(store, two).status == "used"


def test_another_persons_vote_and_another_choice_are_left_alone(store: Store) -> None:
    about = builders.recorded(store, choices=[{"text": "a"}, {"text": "b"}])
    mine = [vote(store, about, at, rating="up") for at in (1, 2)]
    other = [vote(store, about, at, rating="up", who="ben") for at in (1, 2)]
    second = [vote(store, about, at, rating="up", choice=1) for at in (1, 2)]
    assert claim(store, "rnd_1") == {mine[1], other[1], second[1]}
    release(store, "rnd_1")
    withdraw(store, mine[1])
    statuses = [builders.receipt_of(store, pair[0]).status for pair in (mine, other, second)]
    assert statuses == ["waiting", "refused", "refused"]


def test_of_two_votes_in_one_delivery_the_one_that_was_not_cast_again_counts(
    store: Store,
) -> None:
    about = builders.recorded(store)
    both = vote(store, about, 1, rating="down", correction="It costs 59.")
    later = vote(store, about, 2, rating=2, scale=5)
    builders.decide(store, both, "accept")
    assert claim(store, "rnd_1") == {both, later}
    with store.session() as session:
        words = {word.feedback_id: word for word in harvest.words(session, "rnd_1")}
    assert (words[both].rating, words[both].correction) == (None, "It costs 59.")
    assert words[later].rating == 0.25
