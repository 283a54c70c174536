"""Whose word counts: triage, agreement, and one account's share."""

import time
from typing import Any

import pytest

from feedback import harvest, trust
from feedback.harvest import Fate
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders

RIGHT = "The lamp costs 59 dollars."


def settle(store: Store) -> int:
    with store.session(write=True) as session:
        accepted = trust.settle(session, store.settings)
        session.commit()
    return accepted


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


def test_two_accounts_are_not_enough_however_often_they_speak(store: Store) -> None:
    for _ in range(3):
        aged(store, "ana")
        aged(store, "ben")
    assert settle(store) == 0


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


def test_a_correction_that_names_its_subject_stands_for_itself() -> None:
    one = trust.claim(builders.messages("What does the lamp cost?"), RIGHT)
    two = trust.claim(builders.messages("Price of that lamp?"), RIGHT.upper())
    assert one == two


def test_a_correction_that_names_nothing_means_something_beside_its_question_alone() -> None:
    lamp = trust.claim(builders.messages("Is the lamp in stock?"), "Yes.")
    chair = trust.claim(builders.messages("Is the chair in stock?"), "Yes.")
    assert lamp != chair
    assert lamp == trust.claim(builders.messages("Is the LAMP in stock?!"), "yes")


def test_a_question_that_names_nothing_means_something_beside_what_came_before() -> None:
    def claim(product: str) -> tuple[str, ...]:
        turns = [
            *builders.messages(f"Do you have the {product}?"),
            {"role": "assistant", "content": "Yes."},
            *builders.messages("And how much is it?"),
        ]
        return trust.claim(turns, "59.")

    assert claim("lamp") == claim("lamp")
    assert claim("lamp") != claim("chair")


@pytest.mark.parametrize(
    ("round_size", "allowed"), [(1, 2), (199, 2), (200, 2), (300, 3), (10_000, 100)]
)
def test_one_account_has_a_share_of_a_round_and_no_more(round_size: int, allowed: int) -> None:
    votes = [(f"fbk_{number:04}", "ana") for number in range(allowed + 5)]
    beyond = trust.over_cap([*votes, ("fbk_b", "ben")], FeedbackSettings(), round_size=round_size)
    assert beyond == {feedback_id for feedback_id, _ in votes[allowed:]}
