"""Accepted feedback, handed to one round at a time."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from feedback import harvest, receipts, trust
from feedback.errors import Conflict
from feedback.harvest import Fate, Word
from feedback.models import Receipt
from feedback.store import Store
from tests import builders

WAIT_SECONDS = 20


def claim(store: Store, round_id: str = "rnd_1") -> int:
    with store.session(write=True) as session:
        claimed = harvest.claim(session, store.settings, round_id)
        session.commit()
    return claimed


def words(store: Store, round_id: str = "rnd_1") -> list[Word]:
    with store.session() as session:
        return harvest.words(session, round_id)


def finish(store: Store, fates: dict[str, Fate], round_id: str = "rnd_1") -> None:
    with store.session(write=True) as session:
        harvest.finish(session, round_id, fates)
        session.commit()


def withdraw(store: Store, feedback_id: str) -> None:
    with store.session(write=True) as session:
        receipts.withdraw(session, feedback_id)
        session.commit()


def available(store: Store) -> int:
    with store.session() as session:
        return harvest.available(session)


def test_a_round_holds_what_it_claimed_and_another_gets_the_rest(store: Store) -> None:
    first = builders.say(store, "ana", rating="up")
    assert claim(store) == 1
    assert claim(store) == 1  # again changes nothing
    second = builders.say(store, "ben", rating="down")
    assert claim(store) == 1
    assert claim(store, "rnd_2") == 1
    assert [word.feedback_id for word in words(store)] == [first]
    assert [word.feedback_id for word in words(store, "rnd_2")] == [second]
    assert available(store) == 0


def test_a_word_carries_everything_needed_to_learn_from_it(store: Store) -> None:
    completion_id = builders.recorded(
        store, adapter_id="adp_1", choices=[{"text": "First."}, {"text": "Second."}]
    )
    feedback_id = builders.say(store, completion_id=completion_id, rating="down", choice=1)
    claim(store)
    assert words(store) == [
        Word(
            feedback_id=feedback_id,
            person_id=builders.person(),
            messages=tuple(builders.messages()),
            answer="Second.",
            adapter_id="adp_1",
            rating=0.0,
            correction=None,
            accepted_by="policy",
            worse=(),
            weight=store.settings.young_account_weight,
        )
    ]


def test_what_teaches_nothing_is_neither_counted_nor_claimed(store: Store) -> None:
    builders.say(store, "ana", signal="copy")
    builders.say(store, "ben", survey={"ease": 4.0})
    builders.say(store, "cleo", rating=3, scale=5)
    builders.say(store, "dora", comment="Hm.")
    builders.say(store, "eva", correction="It costs 59.")
    builders.tell(store, builders.told(conversation_id="c", signal="return"))
    assert available(store) == 0
    assert claim(store) == 0


def test_one_account_gets_its_share_and_the_rest_waits_for_the_next_round(store: Store) -> None:
    said = [builders.say(store, "ana", rating="up") for _ in range(5)]
    builders.say(store, "ben", rating="up")
    assert claim(store) == 3
    held = {word.feedback_id for word in words(store)}
    assert held & set(said) == set(said[:2])  # the oldest first
    waiting = builders.receipt_of(store, said[-1])
    assert (waiting.status, waiting.round_id) == ("waiting", None)
    assert "share" in waiting.reason
    assert claim(store, "rnd_2") == 2


def test_what_a_reviewer_accepted_is_not_capped(store: Store) -> None:
    for _ in range(4):
        feedback_id = builders.say(store, "ana", rating="up")
        with store.session(write=True) as session:
            session.get_one(Receipt, feedback_id).accepted_by = trust.REVIEWER
            session.commit()
    assert claim(store) == 4


def test_a_replaced_vote_is_refused_and_names_the_later_one(store: Store) -> None:
    completion_id = builders.recorded(store)
    first = builders.say(store, completion_id=completion_id, rating="up")
    second = builders.say(store, completion_id=completion_id, rating="down")
    assert claim(store) == 1
    refused = builders.receipt_of(store, first)
    assert refused.status == "refused"
    assert second in refused.reason
    assert [word.rating for word in words(store)] == [0.0]


def test_a_late_vote_is_replaced_by_a_newer_one_that_was_learned_already(store: Store) -> None:
    completion_id = builders.recorded(store)
    newer = builders.say(store, completion_id=completion_id, created_at=200.0)
    claim(store)
    finish(store, {newer: Fate("used", "Learned.")})
    late = builders.say(store, completion_id=completion_id, rating="down", created_at=100.0)
    assert claim(store, "rnd_2") == 0
    assert newer in builders.receipt_of(store, late).reason


def test_a_middling_rating_replaces_the_thumb_before_it(store: Store) -> None:
    completion_id = builders.recorded(store)
    thumb = builders.say(store, completion_id=completion_id, rating="up")
    builders.say(store, completion_id=completion_id, rating=3, scale=5)
    assert claim(store) == 0
    assert builders.receipt_of(store, thumb).status == "refused"


def test_taking_the_later_vote_back_leaves_the_earlier_one_in_force(store: Store) -> None:
    completion_id = builders.recorded(store)
    first = builders.say(store, completion_id=completion_id, rating="up")
    second = builders.say(store, completion_id=completion_id, rating="down")
    withdraw(store, second)
    assert claim(store) == 1
    assert [word.feedback_id for word in words(store)] == [first]


def test_regenerating_and_liking_the_second_answer_is_a_comparison(store: Store) -> None:
    builders.recorded(store, answer="Dunno.", created_at=1.0)
    builders.recorded(store, answer="It is cheap.", created_at=2.0)
    liked = builders.recorded(store, answer="49 dollars.", created_at=3.0)
    builders.recorded(store, answer="Later.", created_at=4.0)
    builders.recorded(store, answer="Other person.", who="ben", created_at=1.5)
    builders.recorded(store, answer="Other prompt.", question="Why?", created_at=1.5)
    builders.say(store, completion_id=liked, rating="up")
    claim(store)
    assert [word.worse for word in words(store)] == [("Dunno.", "It is cheap.")]


def test_disliking_the_second_answer_or_liking_anothers_is_no_comparison(store: Store) -> None:
    builders.recorded(store, answer="Dunno.", created_at=1.0)
    second = builders.recorded(store, answer="49 dollars.", created_at=2.0)
    builders.say(store, completion_id=second, rating="down")
    builders.say(store, "ben", completion_id=second, rating="up")
    claim(store)
    assert [word.worse for word in words(store)] == [(), ()]


def test_a_named_preference_is_a_comparison_with_that_answer(store: Store) -> None:
    other = builders.recorded(store, answer="Dunno.", question="Another prompt")
    better = builders.recorded(store, answer="49 dollars.")
    same = builders.recorded(store, answer="49 dollars.")
    told = builders.told(completion_id=better, preferred_over=other, signal="choose")
    equal = builders.told("ben", completion_id=better, preferred_over=same, signal="choose")
    ids = builders.tell(store, told, equal)
    claim(store)
    assert {word.feedback_id: word.worse for word in words(store)} == {
        ids[0]: ("Dunno.",),
        ids[1]: (),
    }


def test_a_round_that_dies_gives_everything_back(store: Store) -> None:
    feedback_id = builders.say(store, rating="up")
    claim(store)
    with store.session(write=True) as session:
        assert harvest.release(session, "rnd_1", "Round rnd_1 failed.") == 1
        session.commit()
    assert builders.receipt_of(store, feedback_id).reason == "Round rnd_1 failed."
    assert words(store) == []
    assert claim(store, "rnd_2") == 1


def test_finishing_writes_each_fate_and_gives_back_what_has_none(store: Store) -> None:
    ids = [builders.say(store, who, rating="up") for who in ("ana", "ben", "cleo", "dora", "eva")]
    claim(store)
    finish(
        store,
        {
            ids[0]: Fate("used", "Learned.", "adp_1", "verdict"),
            ids[1]: Fate("held_out", "Judged.", "adp_1", "gate"),
            ids[2]: Fate("review", "Refused."),
            ids[3]: Fate("waiting", "Not sure."),
        },
    )
    found = [builders.receipt_of(store, each) for each in ids]
    assert [(each.status, each.round_id, each.adapter_id, each.role) for each in found] == [
        ("used", "rnd_1", "adp_1", "verdict"),
        ("held_out", "rnd_1", "adp_1", "gate"),
        ("review", "rnd_1", None, None),
        ("waiting", None, None, None),
        ("waiting", None, None, None),
    ]
    assert claim(store, "rnd_2") == 2
    assert words(store) == []


def test_claiming_is_exclusive_also_when_two_claim_at_once(store: Store) -> None:
    said = {builders.say(store, f"p{number}", rating="up") for number in range(5)}
    with ThreadPoolExecutor(1) as pool:
        with store.session(write=True) as session:
            assert harvest.claim(session, store.settings, "rnd_1") == 5
            session.flush()
            second = pool.submit(claim, store, "rnd_2")
            assert not wait([second], 0.1).done  # it waits for the first
            session.commit()
        assert second.result(WAIT_SECONDS) == 0
    assert {word.feedback_id for word in words(store)} == said
    assert words(store, "rnd_2") == []


def test_a_vote_that_is_being_claimed_is_not_taken_back(store: Store) -> None:
    feedback_id = builders.say(store, rating="up")
    with ThreadPoolExecutor(1) as pool:
        with store.session(write=True) as session:
            harvest.claim(session, store.settings, "rnd_1")
            session.flush()
            withdrawal = pool.submit(withdraw, store, feedback_id)
            assert not wait([withdrawal], 0.1).done
            session.commit()
        with pytest.raises(Conflict, match="rnd_1"):
            withdrawal.result(WAIT_SECONDS)
    assert [word.feedback_id for word in words(store)] == [feedback_id]


def test_a_vote_that_is_being_taken_back_is_not_claimed(store: Store) -> None:
    feedback_id = builders.say(store, rating="up")
    with ThreadPoolExecutor(1) as pool:
        with store.session(write=True) as session:
            receipts.withdraw(session, feedback_id)
            session.flush()
            claiming = pool.submit(claim, store)
            assert not wait([claiming], 0.1).done
            session.commit()
        assert claiming.result(WAIT_SECONDS) == 0
    assert words(store) == []
    assert builders.receipt_of(store, feedback_id).status == "withdrawn"


def test_a_round_may_hold_more_than_a_database_binds_in_one_statement(store: Store) -> None:
    """Ids go from query to query, not through Python lists; looked at without ten thousand rows."""
    for number in range(3):
        builders.say(store, f"p{number}", rating="up", completion_id=builders.recorded(store))
    claim(store)
    sent: list[int] = []
    from sqlalchemy import event

    event.listen(
        store.engine,
        "before_cursor_execute",
        lambda _c, _u, _s, parameters, _x, _m: sent.append(len(parameters)),
    )
    assert len(words(store)) == 3
    assert max(sent) <= 6


@pytest.mark.parametrize("rating", ["up", "down"])
def test_a_thumb_waits_by_policy(store: Store, rating: str) -> None:
    builders.say(store, rating=rating)
    claim(store)
    assert [word.accepted_by for word in words(store)] == ["policy"]
