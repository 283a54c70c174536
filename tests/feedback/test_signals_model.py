"""What signals mean, how well it is known, and when it is not."""

import subprocess
import sys

import numpy as np
import pytest

from feedback.calibration import auc, auc_error, bins, brier, expected_error
from feedback.signals_model import FEWEST_PAIRS, Learnt, learn
from tests.clicks import Clicks, clicks


def learned(made: Clicks, number: int | None = None, **options: bool) -> Learnt:
    some = slice(None, number)
    return learn(
        made.signals[some],
        made.satisfied[some],
        made.people[some],
        [1.0] * len(made.signals[some]),
        **options,
    )


@pytest.mark.parametrize("seed", range(3))
def test_probabilities_rank_and_hold_on_answers_that_were_held_out(seed: int) -> None:
    model = learned(clicks(seed, answers=1_000, people=200))
    assert model.usable
    other = clicks(seed + 1_000, answers=4_000, people=400)
    truth, chance = np.array(other.satisfied, float), np.array(model.predict(other.signals))
    assert auc(truth, chance) >= 0.95 * auc(truth, other.chance)
    assert expected_error(truth, chance) <= 0.05
    assert brier(truth, chance) < 0.8 * brier(truth, np.full(len(truth), truth.mean()))


def test_what_it_says_of_itself_is_neither_flattery_nor_modesty() -> None:
    made = clicks(3, answers=2_000, people=300)
    model = learned(made)
    truth = np.array(made.satisfied, float)
    possible = auc(truth, made.chance)  # of these very people, whom luck may make hard to tell
    assert model.auc is not None and model.brier is not None
    assert possible - 0.02 < model.auc <= possible + 0.005
    assert model.brier == pytest.approx(brier(truth, made.chance), abs=0.01)


@pytest.mark.parametrize(
    ("answers", "people", "lacks"),
    [
        (FEWEST_PAIRS - 1, 30, "49 of 50 answers"),
        (400, 3, "3 of 5 people"),
    ],
)
def test_too_little_is_said_to_be_too_little(answers: int, people: int, lacks: str) -> None:
    model = learned(clicks(0, answers=answers, people=people))
    assert not model.usable
    assert "Not enough" in model.reason and lacks in model.reason
    with pytest.raises(ValueError, match="nothing was learned"):
        model.predict([{"copy": None}])


def test_people_who_all_agree_teach_nothing() -> None:
    made = clicks(0, answers=200, people=50)
    model = learn(made.signals, [True] * 200, made.people, [1.0] * 200)
    assert "0 of 10 of them disliked" in model.reason


def test_fifty_pairs_are_enough_to_start_with() -> None:
    assert learned(clicks(2, answers=FEWEST_PAIRS, people=30)).auc is not None


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_cannot_be_told_from_chance_is_not_used(seed: int) -> None:
    made = clicks(seed, answers=300, people=60)
    shuffled = np.random.default_rng(seed).permutation(np.array(made.satisfied)).tolist()
    model = learn(made.signals, shuffled, made.people, [1.0] * 300)
    assert not model.usable
    assert "cannot be told from chance" in model.reason


def test_nobody_is_on_both_sides_of_a_fold() -> None:
    """Each person has a signal of their own that gives their opinion away."""
    signals = [{f"mark_{number // 10}": None} for number in range(300)]
    satisfied = [number // 10 % 2 == 0 for number in range(300)]
    people = [f"person-{number // 10}" for number in range(300)]
    model = learn(signals, satisfied, people, [1.0] * 300)
    assert not model.usable
    alone = [f"person-{number}" for number in range(300)]
    leaky = learn(signals, satisfied, alone, [1.0] * 300)
    assert leaky.auc is not None and leaky.auc > 0.95  # the fold is what keeps it honest


def test_pairs_that_count_nothing_are_not_counted() -> None:
    made = clicks(0, answers=100, people=40)
    model = learn(made.signals, made.satisfied, made.people, [1.0] * 40 + [0.0] * 60)
    assert model.pairs == 40
    assert not model.usable


def test_the_report_names_what_each_signal_is_worth() -> None:
    model = learned(clicks(0, answers=800, people=100), per_signal=True)
    worth = {each.name: each for each in model.signals}
    assert set(worth) == {"copy", "regenerate", "edit", "abandon", "follow_up", "click", "dwell"}
    assert worth["copy"].auc_lost > worth["follow_up"].auc_lost
    copied, others = worth["copy"].satisfied_with, worth["copy"].satisfied_without
    assert copied is not None and others is not None and copied > others + 0.2


def test_what_says_no_more_than_the_base_rate_tells_nothing() -> None:
    model = Learnt(pairs=100, people=50, satisfied=90, usable=True, reason="", base_rate=0.9)
    assert [model.tells(each) for each in (0.95, 0.7, 0.3)] == [True, False, True]


def test_one_absurd_size_does_not_outweigh_the_others() -> None:
    made = clicks(0, answers=500, people=100)
    model = learned(made)
    sane, absurd = model.predict([{"dwell": 600.0}, {"dwell": 1e300}])
    assert absurd == pytest.approx(sane, abs=0.1)


def test_a_reliability_diagram_of_perfect_probabilities_is_a_line() -> None:
    draw = np.random.default_rng(0)
    chance = draw.random(20_000)
    truth = (draw.random(20_000) < chance).astype(float)
    assert all(abs(each.predicted - each.observed) < 0.05 for each in bins(truth, chance))
    assert sum(each.count for each in bins(truth, chance)) == 20_000
    assert expected_error(truth, chance) < 0.02
    assert expected_error(truth, chance**3) > 0.15


def test_the_error_of_an_auc_is_what_it_varies_by() -> None:
    draw = np.random.default_rng(0)
    areas, errors = [], []
    for _ in range(200):
        truth = (np.arange(120) % 2).astype(float)
        chance = draw.normal(truth, 1.0)
        areas.append(auc(truth, chance))
        errors.append(auc_error(truth, chance, np.arange(120)))
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.15)


def test_rows_of_one_person_are_not_taken_for_many() -> None:
    draw = np.random.default_rng(0)
    truth = np.repeat((np.arange(20) % 2).astype(float), 10)
    chance = np.repeat(draw.normal(truth[::10], 1.0), 10)
    assert auc_error(truth, chance, np.repeat(np.arange(20), 10)) > 2 * auc_error(
        truth, chance, np.arange(200)
    )


def test_the_library_is_loaded_only_to_learn() -> None:
    code = (
        "import sys, feedback.harvest; sys.exit('sklearn' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_share_of_satisfied_people_is_known_as_well_as_so_many_pairs_tell() -> None:
    few, many = (learned(clicks(2, answers=count, people=60)) for count in (200, 2_000))
    assert few.base_rate_error == pytest.approx(0.034, abs=0.002)
    assert many.base_rate_error == pytest.approx(0.011, abs=0.001)
    made = clicks(2, answers=400, people=60)
    uneven = learn(made.signals, made.satisfied, made.people, [1.0] * 200 + [1e-6] * 200)
    assert uneven.base_rate_error == pytest.approx(0.034, abs=0.003)  # half of them hardly count
