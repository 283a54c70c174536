"""Several reviewers, blind to each other: what is hidden, what is decided, and how well they agree."""

from typing import Any

import pytest
from sqlmodel import select

from feedback import review_actions, verdicts
from feedback import review_queue as queue
from feedback.errors import Conflict, Invalid
from feedback.review_models import ReviewItem
from feedback.review_queue import Filters
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders
from tests.feedback.test_review_queue import found, lane_of

TWO = FeedbackSettings(review_verdicts=2)


def give(
    store: Store,
    name: str,
    reviewer: str,
    decision: Any = "accept",
    settings: FeedbackSettings = TWO,
    **more: Any,
) -> verdicts.Given:
    with store.session(write=True) as session:
        done = verdicts.give(
            session, settings, feedback_id=name, decision=decision, reviewer=reviewer, **more
        )
        session.commit()
    return done


def seen(store: Store, reviewer: str) -> list[str]:
    """Whose verdicts a reviewer sees."""
    with store.session() as session:
        items = session.exec(select(ReviewItem)).all()
        shown = verdicts.shown(session, items, reviewer=reviewer)
    return [each.reviewer for given in shown.values() for each in given]


def test_one_verdict_alone_decides_nothing_and_is_hidden_from_the_others(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    given = give(store, name, "rita", "refuse", reason="No.")
    assert (given.given, given.needed, given.lane) == (1, 2, "waiting")
    assert builders.receipt_of(store, name).status == "review"
    assert (seen(store, "rita"), seen(store, "sam")) == (["rita"], [])
    with pytest.raises(Conflict, match="waits for others"):
        give(store, name, "rita", "accept")
    with store.session(write=True) as session:
        asked: dict[str, Any] = {"filters": Filters(), "now_seconds": 1.0}
        assert queue.next_item(session, TWO, reviewer="rita", **asked) is None
        assert queue.next_item(session, TWO, reviewer="sam", **asked) is not None


def test_verdicts_that_say_the_same_decide_and_are_undone(store: Store) -> None:
    name = builders.say(store, correction="59!")
    give(store, name, "rita", "edit", correction="It costs 59.")
    assert give(store, name, "sam", "edit", correction="it costs 59").lane == "edited"
    assert builders.receipt_of(store, name).status == "waiting"
    assert seen(store, "tom") == ["rita", "sam"]
    with store.session(write=True) as session:
        review_actions.undo(session, name, reviewer="sam")
        session.commit()
    assert (lane_of(store, name), seen(store, "rita")) == ("waiting", ["rita"])
    give(store, name, "sam", "refuse")
    assert lane_of(store, name) == "disagreement"


def test_who_disagrees_leaves_it_to_a_third(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    give(store, name, "rita", "accept")
    assert give(store, name, "sam", "refuse").lane == "disagreement"
    assert builders.receipt_of(store, name).status == "review"
    assert found(store, lane="disagreement") == [name] and found(store) == []
    for who in ("rita", "sam"):
        with pytest.raises(Conflict, match="somebody who has not judged it decides"):
            give(store, name, who, "accept")
    assert give(store, name, "tom", "refuse").lane == "refused"
    assert builders.receipt_of(store, name).status == "refused"


def test_ones_own_verdict_can_be_withdrawn_before_it_decides(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    give(store, name, "rita", "accept")
    give(store, name, "sam", "refuse")
    with store.session(write=True) as session:
        assert not verdicts.withdraw(session, name, reviewer="tom")
        assert verdicts.withdraw(session, name, reviewer="sam")
        session.commit()
    assert lane_of(store, name) == "waiting"
    assert give(store, name, "sam", "accept").lane == "accepted"
    with store.session(write=True) as session:
        assert not verdicts.withdraw(session, name, reviewer="sam")


def test_to_open_it_again_asks_everybody_anew(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    for who in ("rita", "sam"):
        give(store, name, who)
    assert give(store, name, "tom", "reopen").lane == "waiting"
    assert give(store, name, "rita", "refuse").given == 1


def test_a_share_of_all_feedback_needs_several_and_it_is_always_the_same(store: Store) -> None:
    settings = FeedbackSettings(review_verdicts=3, review_verdicts_share=0.25)
    needed = [verdicts.needed(settings, f"fbk_{n}") for n in range(400)]
    assert set(needed) == {1, 3} and 60 < needed.count(3) < 140
    assert needed == [verdicts.needed(settings, f"fbk_{n}") for n in range(400)]
    assert verdicts.needed(FeedbackSettings(), "fbk_1") == 1


def test_a_verdict_that_makes_no_sense_is_refused(store: Store) -> None:
    name = builders.say(store, correction="It costs 59.")
    with pytest.raises(Invalid):
        give(store, name, "rita", "edit")
    with pytest.raises(Conflict):
        give(store, name, "rita", version=3)


def test_agreement_is_that_of_the_textbook(store: Store) -> None:
    """Of ten, two reviewers judge eight alike; by hand κ = (0.8 − 0.5) / (1 − 0.5) = 0.6."""
    with store.session() as session:
        empty = verdicts.agreement(session)
    assert (empty["items"], empty["alpha"], empty["pairs"]) == (0, None, [])
    said = ["aa"] * 4 + ["rr"] * 4 + ["ar", "ra"]
    for number, pair in enumerate(said):
        name = builders.say(store, correction=f"It costs {number}.")
        for who, letter in zip(("rita", "sam"), pair, strict=True):
            give(store, name, who, {"a": "accept", "r": "refuse"}[letter])
    # What is not complete yet tells nothing to anybody.
    give(store, builders.say(store, correction="It costs 99."), "rita")
    with store.session() as session:
        told = verdicts.agreement(session)
    [pair] = told["pairs"]
    assert (told["items"], told["alike"], told["share_alike"]) == (10, 8, 0.8)
    assert pair["reviewers"] == ["rita", "sam"]
    assert pair["kappa"] == pytest.approx(0.6)
    # Krippendorff: 1 − (n − 1) Σ o / Σ n n' with 20 values, 10 of each, 4 of 20 in unlike pairs.
    assert told["alpha"] == pytest.approx(1 - 19 * 4 / (2 * 10 * 10))
