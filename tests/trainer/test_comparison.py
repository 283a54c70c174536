"""Candidates are ranked, and the recommendation says when the data cannot tell."""

import random
from dataclasses import replace

import pytest

from trainer.comparison import Marks, Measured, recommend

PEOPLE = [f"p{n // 2}" for n in range(200)]
PROTECTED = [f"i{n}" for n in range(100)]


def _candidate(
    model: str, share: float, *, lost: int = 0, seconds: float = 1.0, luck: int | None = None
) -> Measured:
    """One that is right on just this share, or, with luck, on about it."""
    rng = random.Random(f"{model} {luck}")
    just = set(rng.sample(range(len(PEOPLE)), round(share * len(PEOPLE))))
    right = tuple(n in just if luck is None else rng.random() < share for n in range(len(PEOPLE)))
    kept = tuple(-1 if n < lost else 1 for n in range(len(PROTECTED)))
    return Measured(
        model,
        trial=sum(right) / len(right),
        forgotten=lost / len(PROTECTED),
        answer_seconds=seconds,
        marks=Marks(right, kept),
    )


def test_the_better_one_is_recommended_with_its_lead() -> None:
    good, bad = _candidate("good", 0.8), _candidate("bad", 0.5)
    found = recommend([bad, good], PEOPLE, PROTECTED)
    assert (found.model, found.sure) == ("good", True)
    assert [each.measured.model for each in found.standings] == ["good", "bad"]
    second = found.standings[1]
    assert second.behind == pytest.approx(good.score - bad.score)
    assert 0 < second.behind_low < second.behind < second.behind_high
    assert found.standings[0].best_chance > 0.99


def test_what_was_forgotten_counts_against_a_model() -> None:
    forgetful, steady = _candidate("forgetful", 0.8, lost=50), _candidate("steady", 0.6)
    found = recommend([forgetful, steady], PEOPLE, PROTECTED)
    assert (found.model, found.sure) == ("steady", True)
    assert forgetful.score == pytest.approx((forgetful.trial or 0) - 0.5)


def test_of_those_that_cannot_be_told_apart_the_cheapest_is_recommended() -> None:
    one, other = _candidate("slow", 0.72, seconds=2), _candidate("quick", 0.70, seconds=1)
    found = recommend([one, other, _candidate("bad", 0.2)], PEOPLE, PROTECTED)
    assert (found.model, found.sure) == ("quick", False)
    assert "cannot tell" in found.reason
    assert "bad" not in found.reason
    assert all(0 < each.best_chance < 1 for each in found.standings[:2])


def test_models_that_are_the_same_share_every_resample() -> None:
    one = _candidate("one", 0.7)
    found = recommend([one, replace(one, model="copy"), _candidate("bad", 0.1)], PEOPLE, PROTECTED)
    assert [each.best_chance for each in found.standings] == [0.5, 0.5, 0]


def test_equal_models_are_seldom_told_apart(count: int) -> None:
    pairs = 30 * count
    sure = sum(
        recommend(
            [_candidate("a", 0.6, luck=luck), _candidate("b", 0.6, luck=luck)], PEOPLE, PROTECTED
        ).sure
        for luck in range(pairs)
    )
    # One in twenty, and what chance may add: two and a half standard deviations.
    assert sure <= pairs / 20 + 2.5 * (pairs / 20 * 0.95) ** 0.5


def test_few_people_with_many_items_tell_less_than_many() -> None:
    crowd, few = [f"p{n}" for n in range(200)], [f"p{n // 50}" for n in range(200)]
    right = tuple(n % 50 < 40 for n in range(200))
    left = tuple(n < 150 and n % 50 < 40 for n in range(200))
    pair = [Measured("a", marks=Marks(right)), Measured("b", marks=Marks(left))]
    pair = [
        Measured(each.model, baseline=sum(each.marks.right) / 200, marks=each.marks)
        for each in pair
    ]
    wide, narrow = recommend(pair, few, []).standings[1], recommend(pair, crowd, []).standings[1]
    assert wide.behind_high - wide.behind_low > 2 * (narrow.behind_high - narrow.behind_low)


def test_models_that_cannot_be_used_are_left_out() -> None:
    broken = Measured("broken", error="it has no chat template")
    only = recommend([broken, _candidate("fine", 0.5)], PEOPLE, PROTECTED)
    assert (only.model, len(only.standings)) == ("fine", 1)
    none = recommend([broken], PEOPLE, PROTECTED)
    assert (none.model, none.standings) == (None, ())


def test_marks_of_other_items_are_refused() -> None:
    with pytest.raises(ValueError, match="every item"):
        recommend([Measured("a", marks=Marks((True,)))], PEOPLE, PROTECTED)
