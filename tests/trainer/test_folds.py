"""Folds keep people whole, hold every item out once, and come out the same each time."""

import pytest

from feedback.errors import Invalid
from trainer import folds


def test_every_item_is_held_out_once_and_nobody_is_torn_apart() -> None:
    clusters = [f"p{n % 17}" for n in range(100)]
    parts = folds.split(clusters, 5, seed=0)
    assert sorted(at for part in parts for at in part) == list(range(100))
    homes = [{clusters[at] for at in part} for part in parts]
    assert sum(map(len, homes)) == 17
    assert max(map(len, parts)) - min(map(len, parts)) <= 6


def test_one_fold_holds_out_a_quarter() -> None:
    (part,) = folds.split([f"p{n % 40}" for n in range(400)], 1, seed=0)
    assert len(part) == 100
    (half,) = folds.split(["a", "b"], 1, seed=0)
    assert len(half) == 1


def test_the_seed_and_not_the_order_decides() -> None:
    clusters = [f"p{n}" for n in range(30)]
    there = [{clusters[at] for at in part} for part in folds.split(clusters, 3, seed=1)]
    back = clusters[::-1]
    again = [{back[at] for at in part} for part in folds.split(back, 3, seed=1)]
    other = [{clusters[at] for at in part} for part in folds.split(clusters, 3, seed=2)]
    assert there == again
    assert there != other


def test_scarce_data_is_folded_and_plenty_is_split_once() -> None:
    assert folds.count(399, 50) == 5
    assert folds.count(400, 50) == 1
    assert folds.count(30, 3) == 3
    assert folds.count(30, 30, wanted=7) == 7


def test_one_person_cannot_be_held_out_and_learned_from() -> None:
    with pytest.raises(Invalid, match="at least two people"):
        folds.count(100, 1)
    with pytest.raises(Invalid, match="as many people"):
        folds.count(100, 4, wanted=5)
