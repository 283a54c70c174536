"""Two answers to one prompt, compared blind: which are shown, on which side, and what it amounts to."""

import random
from dataclasses import replace

import pytest
from scipy.stats import binomtest
from statsmodels.stats.descriptivestats import sign_test

from tests.compared import pair
from trainer import pair_rule, pairs
from trainer.pairs import Choice, Told

CHOICES: list[Choice] = ["left", "right", "tie"]


def told(
    number: int,
    choice: Choice,
    *,
    left: bool = True,
    reviewer: str = "rita",
    cluster: str | None = None,
) -> Told:
    return Told(f"pair_{number}", cluster or f"c{number}", reviewer, left, choice)


def crowd(wins: int, losses: int, ties: int = 0) -> list[Told]:
    counts: dict[Choice, int] = {"left": wins, "right": losses, "tie": ties}
    choices = [choice for choice, count in counts.items() for _ in range(count)]
    return [told(number, choice) for number, choice in enumerate(choices)]


def test_answers_that_differ_in_case_or_punctuation_alone_are_no_pair() -> None:
    same = replace(pair(1), candidate_answer=pair(1).incumbent_answer.upper().rstrip("."))
    assert pairs.differing([same, pair(2), replace(pair(2), item_id="again")]) == [pair(2)]


def test_a_few_pairs_of_a_small_source_are_not_crowded_out() -> None:
    news = [pair(number) for number in range(300)]
    safety = [pair(number, source="safety") for number in range(300, 302)]
    live = [pair(number, source="live") for number in range(400, 430)]
    chosen = pairs.choose([*news, *safety, *live], most=20, seed=3)
    counts = {source: 0 for source in ("new", "safety", "live")}
    for each in chosen:
        counts[each.source] += 1
    assert counts == {"new": 9, "safety": 2, "live": 9}
    shuffled = [*live, *news[::-1], *safety]
    assert pairs.choose(shuffled, most=20, seed=3) == chosen
    assert pairs.choose(shuffled, most=20, seed=4) != chosen


def test_other_clusters_come_before_a_second_pair_of_one() -> None:
    phrasings = [pair(number, cluster="lamp") for number in range(50)]
    others = [pair(number) for number in range(50, 59)]
    chosen = pairs.choose([*phrasings, *others], most=10, seed=0)
    assert {each.cluster for each in chosen} == {"lamp", *(each.cluster for each in others)}


def test_a_side_is_as_fair_as_a_coin_and_always_the_same_for_a_reviewer() -> None:
    secrets = [f"{number:032x}" for number in range(2000)]
    rita = [pairs.candidate_left(secret, "rita") for secret in secrets]
    sven = [pairs.candidate_left(secret, "sven") for secret in secrets]
    assert rita == [pairs.candidate_left(secret, "rita") for secret in secrets]
    assert binomtest(sum(rita), len(rita)).pvalue > 0.001
    alike = sum(one == other for one, other in zip(rita, sven, strict=True))
    assert binomtest(alike, len(rita)).pvalue > 0.001  # one reviewer's tells nothing of another's
    assert sorted(secrets, key=lambda each: pairs.turn(each, "rita")) != sorted(
        secrets, key=lambda each: pairs.turn(each, "sven")
    )


@pytest.mark.parametrize(
    ("choice", "left", "change"),
    [
        ("left", True, 1),
        ("left", False, -1),
        ("right", True, -1),
        ("right", False, 1),
        ("tie", True, 0),
        ("both_bad", False, 0),
    ],
)
def test_a_verdict_counts_for_whoever_stood_on_that_side(
    choice: Choice, left: bool, change: int
) -> None:
    assert told(1, choice, left=left).change == change


def test_a_tally_agrees_with_the_libraries() -> None:
    found = pairs.tally(crowd(14, 5, 6), seed=0)
    assert found is not None
    assert (found.wins, found.losses, found.ties, found.verdicts) == (14, 5, 6, 25)
    assert found.win_rate == pytest.approx((14 + 3) / 25)
    assert found.sign_p == pytest.approx(binomtest(14, 19).pvalue)
    _, p = sign_test([1] * 14 + [-1] * 5 + [0] * 6)
    assert found.sign_p == pytest.approx(p)
    assert found.win_low < found.win_rate < found.win_high
    assert pairs.tally([], seed=0) is None


def test_verdicts_of_one_prompt_stay_together() -> None:
    """Ten reviewers of five prompts know less than fifty of fifty."""
    ten = [
        told(number, "left" if number < 3 else "right", reviewer=f"r{each}")
        for number in range(5)
        for each in range(10)
    ]
    apart = [replace(each, pair_id=f"p{at}", cluster=f"c{at}") for at, each in enumerate(ten)]
    clustered, single = pairs.tally(ten, seed=0), pairs.tally(apart, seed=0)
    assert clustered is not None and single is not None
    assert clustered.win_rate == single.win_rate
    width = clustered.win_high - clustered.win_low
    assert width > 1.8 * (single.win_high - single.win_low)
    assert clustered.sign_p == pytest.approx(binomtest(3, 5).pvalue)
    assert single.sign_p == pytest.approx(binomtest(30, 50).pvalue)


def test_who_always_presses_left_shows_as_a_bias_and_prefers_nobody() -> None:
    dice = random.Random(5)
    always = [told(number, "left", left=dice.random() < 0.5) for number in range(200)]
    found = pairs.tally(always, seed=0)
    assert found is not None
    assert found.left_share == 1.0 and found.left_low is not None and found.left_low > 0.9
    assert found.win_low < 0.5 < found.win_high
    fair = pairs.tally([told(number, "tie") for number in range(9)], seed=0)
    assert fair is not None and fair.left_share is None and fair.win_rate == 0.5


def test_a_preferred_candidate_holds_a_worse_one_is_refused_and_between_nobody_can_tell() -> None:
    def outcome(wins: int, losses: int, ties: int = 0) -> str:
        given = crowd(wins, losses, ties)
        return pair_rule.preferred(given, margin_points=20, seed=0).outcome

    assert outcome(30, 10) == "holds"
    assert outcome(10, 30) == "refuse"
    assert outcome(18, 22) == "abstain"
    assert outcome(0, 0, 40) == "holds"
    unsure = pair_rule.preferred(crowd(18, 22), margin_points=20, seed=0)
    assert unsure.needed and f"{unsure.needed} more pairs" in unsure.sentence


def test_a_margin_of_nothing_asks_for_a_gain() -> None:
    alike = pair_rule.preferred(crowd(0, 0, 60), margin_points=0, seed=0)
    assert alike.outcome == "abstain"
    assert pair_rule.preferred(crowd(40, 10), margin_points=0, seed=0).outcome == "holds"


def test_a_candidate_that_is_worse_by_the_margin_is_rarely_promoted() -> None:
    """True net preference −20 points, a third of the verdicts ties: at most about 5%."""
    dice = random.Random(11)
    promoted = 0
    for _ in range(200):
        choices = dice.choices(CHOICES, weights=[7, 13, 10], k=40)
        given = [told(number, choice) for number, choice in enumerate(choices)]
        promoted += pair_rule.preferred(given, margin_points=20, seed=0).outcome == "holds"
    assert promoted <= 19  # 200 × 5% and three standard deviations


def test_fewer_pairs_than_are_asked_for_are_enough_once_all_are_judged() -> None:
    assert pairs.still_needed(0, 100, 40) == 40
    assert pairs.still_needed(0, 7, 40) == 7
    assert pairs.still_needed(7, 7, 40) == 0
    assert pairs.still_needed(50, 100, 40) == 0
