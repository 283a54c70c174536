"""Whose word counts: triage, agreement, and one account's share."""

import time
from typing import Any

import pytest

from feedback import harvest, trust
from feedback.corroboration import Corroboration
from feedback.harvest import Fate
from feedback.settings import FeedbackSettings
from feedback.standing import Standing, assess
from feedback.statements import recent
from feedback.store import Store
from tests import builders

RIGHT = "The lamp costs 59 dollars."


def settle(store: Store, *, knowing: bool = False) -> int:
    """Let a quorum decide; knowing everybody's standing, or only where strangers would do."""
    with store.session(write=True) as session:
        standing = assess(recent(session), store.settings, corroborate=True) if knowing else None
        accepted = trust.settle(session, store.settings, standing)
        session.commit()
    return accepted


def proven(store: Store, who: str, decision: str = "accept") -> None:
    """Let a reviewer judge what an account said of other things."""
    for thing in ("chair", "desk", "shelf"):
        said = aged(store, who, f"The {thing} costs {ord(who[0])} dollars.", question=f"{thing}?")
        builders.decide(store, said, decision)


def aged(store: Store, who: str, correction: str = RIGHT, **exchange: object) -> str:
    """A correction by an account that chats here for longer than the quorum asks for."""
    # Accounts that appeared an hour apart: they were not made up together.
    age = 2 * builders.DAY_SECONDS + 3600 * (ord(who[0]) - ord("a"))
    builders.recorded(store, who=who, created_at=time.time() - age)
    completion_id = builders.recorded(store, who=who, **exchange)
    builders.known_since(store, who, seconds=age)
    return builders.say(store, who, completion_id=completion_id, correction=correction)


@pytest.mark.parametrize(
    ("fields", "accept_thumbs", "status"),
    [
        ({"rating": "up"}, True, "waiting"),
        ({"rating": "up"}, False, "review"),
        ({"rating": "up", "correction": "No."}, True, "review"),
        ({"rating": 3, "scale": 5}, True, "waiting"),
        ({"comment": "Hm."}, True, "review"),
        ({"reasons": ["too long"]}, True, "review"),
        ({"signal": "copy"}, False, "waiting"),
        ({"survey": {"ease": 4.0}}, True, "waiting"),
    ],
)
def test_triage_sends_claims_of_fact_to_review(
    store: Store, fields: dict[str, Any], accept_thumbs: bool, status: str
) -> None:
    settings = store.settings.model_copy(update={"accept_thumbs": accept_thumbs})
    told = builders.told(completion_id=builders.recorded(store), **fields)
    [feedback_id] = builders.tell(store, told, settings=settings)
    assert builders.receipt_of(store, feedback_id).status == status


def test_three_old_independent_accounts_stand_in_for_a_reviewer(store: Store) -> None:
    said = [aged(store, who, f"{greeting} {RIGHT}") for who, greeting in _same_words()]
    assert settle(store) == 3
    for feedback_id in said:
        found = builders.receipt_of(store, feedback_id)
        assert (found.status, found.accepted_by) == ("waiting", "quorum")
    assert settle(store) == 0


def _same_words() -> list[tuple[str, str]]:
    return [("ana", ""), ("ben", "  "), ("cleo", "\n")]


@pytest.mark.parametrize("knowing", [False, True])
def test_two_accounts_are_not_enough_however_often_they_speak(store: Store, knowing: bool) -> None:
    for _ in range(3):
        aged(store, "ana")
        aged(store, "ben")
    assert settle(store, knowing=knowing) == 0


def test_two_whose_corrections_held_up_before_are_enough(store: Store) -> None:
    said = [aged(store, who) for who in ("ana", "ben")]
    proven(store, "ana")
    assert settle(store, knowing=True) == 0  # the other is a stranger
    proven(store, "ben")
    assert settle(store) == 0  # who knows nobody's standing takes everybody for one
    assert settle(store, knowing=True) == 2
    for each in said:
        assert "which were right before" in builders.receipt_of(store, each).reason


def test_one_alone_is_never_a_quorum_and_the_number_can_be_raised(store: Store) -> None:
    for who in ("ana", "ben"):
        proven(store, who)
    first = aged(store, "ana")
    assert settle(store, knowing=True) == 0
    aged(store, "ben")
    strict = store.settings.model_copy(update={"quorum_fewest": 3})
    with store.session(write=True) as session:
        assert trust.settle(session, strict, assess(recent(session), strict, corroborate=True)) == 0
    assert builders.receipt_of(store, first).status == "review"


def test_three_of_whom_one_was_mostly_wrong_are_not_enough(store: Store) -> None:
    proven(store, "cleo", "refuse")
    said = [aged(store, who) for who in ("ana", "ben", "cleo")]
    assert settle(store, knowing=True) == 0
    aged(store, "dora")
    assert settle(store, knowing=True) == 3
    # Whose votes do not hold up is not heard at all.
    assert builders.receipt_of(store, said[-1]).status == "review"


def test_where_somebody_says_something_else_of_the_same_thing_more_have_to_agree(
    store: Store,
) -> None:
    for who in ("ana", "ben", "cleo"):
        aged(store, who)
    other = aged(store, "dora", "The lamp costs 60 dollars.")
    assert settle(store) == 0
    aged(store, "emil")
    assert settle(store) == 4
    assert builders.receipt_of(store, other).status == "review"


def test_those_who_always_agree_with_each_other_are_one_account(store: Store) -> None:
    liars = ("ana", "ben", "cleo", "dora")
    for who in liars:
        aged(store, who)
    circle = Corroboration(circles=dict.fromkeys(map(builders.person, liars), 0))
    with store.session(write=True) as session:
        assert trust.settle(session, store.settings, Standing(corrections=circle)) == 0
        assert trust.settle(session, store.settings, Standing()) == 4


def test_an_account_made_for_the_purpose_does_not_count_and_is_not_carried_along(
    store: Store,
) -> None:
    aged(store, "ana")
    aged(store, "ben")
    young = builders.say(store, "cleo", correction=RIGHT)
    assert settle(store) == 0
    aged(store, "dora")
    assert settle(store) == 3
    assert builders.receipt_of(store, young).status == "review"


def test_age_counts_when_it_was_said_not_when_it_is_judged(store: Store) -> None:
    """Votes of accounts made yesterday do not ripen by waiting."""
    for who in ("ana", "ben", "cleo"):
        aged(store, who)
        builders.known_since(store, who, seconds=builders.DAY_SECONDS / 2)
    assert settle(store) == 0


def test_different_answers_are_no_agreement(store: Store) -> None:
    for who, price in (("ana", 59), ("ben", 60), ("cleo", 61)):
        aged(store, who, f"The lamp costs {price} dollars.")
    assert settle(store) == 0


def test_who_says_something_else_by_now_no_longer_agrees(store: Store) -> None:
    for who in ("ana", "ben"):
        aged(store, who)
    completion_id = builders.recorded(store, who="cleo")
    builders.recorded(store, who="cleo", created_at=time.time() - 3 * builders.DAY_SECONDS)
    builders.known_since(store, "cleo", seconds=3 * builders.DAY_SECONDS)
    for correction in (RIGHT, "The lamp costs 60 dollars."):
        builders.say(store, "cleo", completion_id=completion_id, correction=correction)
    assert settle(store) == 0


def test_what_the_gate_refused_waits_for_a_reviewer_not_for_the_same_quorum(
    store: Store,
) -> None:
    """Or it would spoil every later round."""
    said = [aged(store, who) for who in ("ana", "ben", "cleo")]
    with store.session(write=True) as session:
        assert harvest.claim(session, store.settings, "rnd_1") == 2 + 1
        harvest.finish(session, "rnd_1", dict.fromkeys(said, Fate("review", "Refused.")))
        session.commit()
    assert settle(store) == 0
    assert {builders.receipt_of(store, each).status for each in said} == {"review"}
    aged(store, "dora")
    assert settle(store) == 0


@pytest.mark.parametrize(
    ("round_size", "allowed"), [(1, 2), (199, 2), (200, 2), (300, 3), (10_000, 100)]
)
def test_one_account_has_a_share_of_a_round_and_no_more(round_size: int, allowed: int) -> None:
    votes = [(f"fbk_{number:04}", "ana") for number in range(allowed + 5)]
    beyond = trust.over_cap([*votes, ("fbk_b", "ben")], FeedbackSettings(), round_size=round_size)
    assert beyond == {feedback_id for feedback_id, _ in votes[allowed:]}
