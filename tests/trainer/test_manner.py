"""How people like an answer to be put, told from their thumbs."""

import random
from dataclasses import replace

import pytest

from trainer import manner
from trainer.manner import Vote

THINGS = ("lamp", "desk", "sofa", "vase", "chair", "stool", "clock", "shelf")


def curt(value: int) -> str:
    return f"{value} dollars."


def polite(thing: str, value: int) -> str:
    return f"Of course! The {thing} costs {value} dollars."


def votes(count: int, *, liked_curt: float = 1.0, liked_polite: float = 0.0) -> list[Vote]:
    """Of so many people, each of whom heard one answer of either manner."""
    rng = random.Random(count)
    found = []
    for number in range(count):
        thing, value = rng.choice(THINGS), rng.randrange(20, 90)
        asked = f"What does the {thing} cost?"
        for answer, share in ((curt(value), liked_curt), (polite(thing, value), liked_polite)):
            found.append(Vote(asked, answer, f"person {number}", liked=rng.random() < share))
    return found


def test_what_people_like_is_told_from_what_they_do_not_for_things_never_judged() -> None:
    odds = manner.learned(votes(8))
    assert odds is not None
    asked = "How long does delivery of the bench take?"
    short, long = odds(asked, ["3 days.", "Of course! The bench is there in 3 days."])
    assert short > long + 1


def test_the_other_way_round_the_other_manner_is_liked() -> None:
    odds = manner.learned(votes(8, liked_curt=0.0, liked_polite=1.0))
    assert odds is not None
    short, long = odds("cost of the bench?", [curt(30), polite("bench", 30)])
    assert short < long


@pytest.mark.parametrize("seed", range(10))
def test_thumbs_about_the_matter_tell_nothing_of_the_manner(seed: int) -> None:
    rng = random.Random(seed)
    judged = [replace(vote, liked=rng.random() < 0.5) for vote in votes(12)]
    assert manner.learned(judged) is None


def test_two_groups_who_disagree_under_the_same_instructions_have_no_manner() -> None:
    turned = [replace(vote, liked=not vote.liked) for vote in votes(12)]
    assert manner.learned([*votes(12), *turned]) is None


def test_a_few_votes_are_no_manner() -> None:
    assert manner.learned(votes(manner.FEWEST_VOTES)) is not None
    assert manner.learned(votes(manner.FEWEST_VOTES - 1)) is None
    assert manner.learned([vote for vote in votes(20) if vote.liked]) is None
    assert manner.learned([]) is None


@pytest.mark.parametrize("liked", [True, False])
def test_what_two_people_like_is_not_how_it_is_put_for_everybody(liked: bool) -> None:
    few = [
        replace(vote, person=f"{number % 2}") if vote.liked is liked else vote
        for number, vote in enumerate(votes(12))
    ]
    assert manner.learned(few) is None


def test_words_that_a_few_answers_share_are_no_manner() -> None:
    judged = [replace(vote, answer=f"{vote.answer} {vote.person}x") for vote in votes(8)]
    odds = manner.learned(judged)
    assert odds is not None
    one, other = odds("cost?", ["30 dollars.", "77 dollars."])
    assert one == other
