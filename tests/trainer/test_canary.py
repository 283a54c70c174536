"""Evidence that holds whenever one looks: the bets, the people, and what follows from them."""

import itertools
import math

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from trainer.canary import Stream, bets, evidence, judge, log_growth, lower_bound


def stream(name: str = "votes", **given: object) -> Stream:
    """A stream of its own; one to one, unless told otherwise."""
    values: dict[str, object] = {
        "share": 0.5,
        "alpha": 0.05,
        "weight": 1.0,
        "safe_weight": 1.0,
        "margin": 0.05,
    }
    return Stream(name, **{**values, **given})  # type: ignore[arg-type]


def hear(heard: Stream, *, old: float, new: float, pairs: int, seed: int = 0) -> Stream:
    """So many people of either version, content with these chances."""
    draw = np.random.default_rng(seed)
    for number in range(pairs):
        heard.see(f"old {number}", float(draw.random() < old), new=False)
        heard.see(f"new {number}", float(draw.random() < new), new=True)
    return heard


@pytest.mark.parametrize(("ratio", "mean"), [(1, 0.0), (1, -0.05), (2, 0.0), (19, -0.3)])
def test_the_bets_are_fair_where_the_hypothesis_holds(ratio: int, mean: float) -> None:
    # Differences of −1, 0 and 1 whose mean is exactly the hypothesis: over every possible course
    # of six of them, the stakes are worth on average what they were worth at the start.
    chances = {1.0: (0.4 + mean) / 2, 0.0: 0.6, -1.0: (0.4 - mean) / 2}
    worth = 0.0
    for course in itertools.product(chances, repeat=6):
        chance = math.prod(chances[each] for each in course)
        grown = log_growth(np.array(course), mean, bets(ratio))
        worth += chance * math.exp(float(evidence(grown)))
    assert worth == pytest.approx(1.0, abs=1e-12)


def test_a_worse_version_is_found_out_and_a_better_one_never() -> None:
    worse = hear(stream(), old=0.8, new=0.6, pairs=300).result()
    assert worse.worse and worse.evidence >= worse.needed == 20
    assert worse.upper < 0
    better = hear(stream(), old=0.6, new=0.8, pairs=300).result()
    assert not better.worse and better.not_worse
    assert better.lower > 0
    assert better.estimate == pytest.approx(0.2, abs=0.1)


def test_what_was_once_shown_stays_shown() -> None:
    heard = hear(stream(), old=0.9, new=0.5, pairs=200)
    assert heard.worse
    assert hear(heard, old=0.0, new=1.0, pairs=0).worse
    for number in range(500):
        heard.see(f"late old {number}", 0.0, new=False)
        heard.see(f"late new {number}", 1.0, new=True)
    assert heard.worse
    assert heard.result().estimate > 0  # type: ignore[operator]


def test_a_person_counts_once_however_often_they_vote() -> None:
    heard = stream()
    for _ in range(500):
        heard.see("the old one", 1.0, new=False)
        heard.see("the angry one", 0.0, new=True)
    found = heard.result()
    assert (found.old_people, found.new_people, found.pairs) == (1, 1, 1)
    assert not found.worse


def test_a_regular_counts_with_the_mean_of_their_first_votes() -> None:
    heard = stream(per_person=4)
    for value in (1.0, 0.0, 1.0):
        heard.see("ana", value, new=True)
    assert heard.result().new_people == 0
    heard.see("ana", 1.0, new=True)
    heard.see("ana", 0.0, new=True)  # beyond their due
    assert heard.result().new_mean == 0.75


@pytest.mark.parametrize(("share", "ratio"), [(0.5, 1), (0.05, 19), (0.95, 19), (0.001, 32)])
def test_whoever_is_few_stands_against_the_mean_of_others(share: float, ratio: int) -> None:
    heard = stream(share=share)
    assert heard.ratio == ratio
    few_is_new = share <= 0.5
    for number in range(ratio):
        heard.see(f"many {number}", float(number % 2), new=not few_is_new)
    heard.see("few", 1.0, new=few_is_new)
    found = heard.result()
    assert found.pairs == 1
    gap = 1.0 - (ratio // 2) / ratio
    assert found.estimate == pytest.approx(gap if few_is_new else -gap)


def test_refuses_a_value_that_is_none() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        stream().see("ana", 1.5, new=True)


@pytest.mark.parametrize(
    ("old", "new", "pairs"), [(0.8, 0.7, 400), (0.5, 0.5, 2_000), (0.9, 0.95, 900)]
)
def test_the_interval_is_wider_than_that_of_one_look_and_not_by_much(
    old: float, new: float, pairs: int
) -> None:
    found = hear(stream(), old=old, new=new, pairs=pairs, seed=3).result()
    assert found.old_mean is not None and found.new_mean is not None
    counts = [round(found.new_mean * pairs), pairs, round(found.old_mean * pairs), pairs]
    low, high = confint_proportions_2indep(*counts, method="newcomb")
    assert found.estimate == pytest.approx(found.new_mean - found.old_mean)
    assert found.lower < low and high < found.upper
    assert found.upper - found.lower < 2.2 * (high - low)


def test_the_bound_is_where_the_bets_stop_winning() -> None:
    draw = np.random.default_rng(1)
    given = draw.choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=500)
    low = lower_bound(given, 1, alpha=0.05)
    at = float(evidence(log_growth(given, low, bets(1))))
    assert at == pytest.approx(math.log(20), abs=0.05)
    assert lower_bound(np.array([]), 1, alpha=0.05) == -1.0


def test_rolls_back_on_any_stream_and_says_why() -> None:
    streams = {"votes": stream(), "errors": hear(stream("errors"), old=1.0, new=0.7, pairs=200)}
    found = judge(streams, decisive=("votes",), minimum_people=1)
    assert found.decision == "rollback"
    assert found.reason.startswith("errors: 65.0% good against 100.0%")
    assert "20 is enough" in found.reason


def test_commits_on_votes_that_are_surely_not_worse_and_never_before() -> None:
    votes = stream()
    streams = {"votes": votes}
    assert judge(streams, decisive=("votes",), minimum_people=1).decision == "continue"
    hear(votes, old=0.8, new=0.85, pairs=60)
    assert judge(streams, decisive=("votes",), minimum_people=1).decision == "continue"
    hear(votes, old=0.8, new=0.85, pairs=0)
    for number in range(2_000):
        votes.see(f"o{number}", float(number % 5 > 0), new=False)
        votes.see(f"n{number}", float(number % 5 > 0), new=True)
    found = judge(streams, decisive=("votes",), minimum_people=1)
    assert found.decision == "commit"
    assert "surely less than 5 points worse" in found.reason
    many = judge(streams, decisive=("votes",), minimum_people=10_000)
    assert (many.decision, "of at least 10000 people" in many.reason) == ("continue", True)


def test_a_guard_that_is_not_sure_yet_holds_a_version_back() -> None:
    votes = hear(stream(), old=0.7, new=0.8, pairs=2_000)
    errors = stream("errors")
    errors.see("a", 1.0, new=False)
    errors.see("b", 1.0, new=True)
    weak = stream("signals", safe_weight=0.0)
    weak.see("a", 0.5, new=False)
    weak.see("b", 0.5, new=True)
    streams = {"votes": votes, "errors": errors, "signals": weak}
    held = judge(streams, decisive=("votes",), minimum_people=1)
    assert (held.decision, held.reason) == ("continue", "Not sure enough yet of its errors.")
    hear(errors, old=1.0, new=1.0, pairs=200)
    assert judge(streams, decisive=("votes",), minimum_people=1).decision == "commit"
