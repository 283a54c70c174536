"""Who tends to be right, told from votes that overlap and from what reviewers decided."""

import numpy as np
import pytest

from feedback import agreement
from feedback.agreement import Agreement
from tests.crowds import Crowd, crowd


def estimated(made: Crowd, gold: "np.ndarray | None" = None) -> Agreement:
    return agreement.estimate(made.items, made.accounts, made.votes, gold=gold)


def share_right(made: Crowd, good: np.ndarray) -> float:
    return float(((good > 0.5) == made.truth).mean())


@pytest.mark.parametrize("kind", ["always wrong", "careless", "mostly wrong"])
@pytest.mark.parametrize("seed", range(3))
def test_labels_are_right_where_a_majority_is_often_wrong(kind: str, seed: int) -> None:
    made = crowd(kind, seed)
    assert (made.right == 0).mean() == pytest.approx(0.2, abs=0.03)
    assert min(np.bincount(made.accounts)) >= 30
    assert share_right(made, made.majority()) <= 0.90
    assert share_right(made, estimated(made).good) >= 0.95


def test_bad_accounts_are_worth_nothing_and_good_ones_everything() -> None:
    made = crowd("always wrong", 0)
    worth = estimated(made).worth
    assert worth[made.bad].max() < 0.1
    assert np.median(worth[~made.bad]) == 1.0


def test_a_few_decisions_of_a_reviewer_tell_which_side_is_right_where_most_are_hostile() -> None:
    made = crowd("hostile majority", 0)
    assert share_right(made, estimated(made).good) < 0.1  # agreement alone finds the wrong side
    gold = np.full(len(made.truth), -1)
    gold[::20] = made.truth[::20]
    assert share_right(made, estimated(made, gold).good) > 0.95


def test_somebody_who_likes_everything_says_nothing() -> None:
    made = crowd("honest", 0)
    flatterer = int(made.accounts.max()) + 1
    items = np.arange(60)
    found = agreement.estimate(
        np.concatenate([made.items, items]),
        np.concatenate([made.accounts, np.full(60, flatterer)]),
        np.concatenate([made.votes, np.ones(60, dtype=np.int64)]),
    )
    assert found.worth[flatterer] < 0.25
    assert np.median(found.worth[:flatterer]) > 0.9


def test_votes_that_nobody_else_judged_say_nothing_of_an_account() -> None:
    votes = np.array([1, 0, 1, 0])
    found = agreement.estimate(np.arange(4), np.array([0, 0, 1, 1]), votes)
    assert not found.shared.any()
    assert found.worth.tolist() == [1.0, 1.0]
    assert found.typical == pytest.approx(agreement.PRIOR_RIGHT)
    assert found.right == pytest.approx(np.full(4, agreement.PRIOR_RIGHT))


def test_votes_that_count_less_move_less() -> None:
    items, accounts = np.zeros(4, dtype=np.int64), np.arange(4)
    votes = np.array([1, 0, 0, 0])
    as_three = agreement.estimate(items, accounts, votes)
    as_one = agreement.estimate(items, accounts, votes, weights=np.array([1, 1 / 3, 1 / 3, 1 / 3]))
    assert as_three.good[0] < 0.2
    assert as_one.good[0] == pytest.approx(0.5, abs=0.05)


def test_no_votes_are_no_trouble() -> None:
    none = np.array([], dtype=np.int64)
    found = agreement.estimate(none, none, none)
    assert len(found.right) == len(found.worth) == 0
