"""Strengths from preferences, beside the statistics package that has the same regression."""

import numpy as np
import pytest
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from trainer.bradley_terry import strengths

TRUE = {"adp_a": 0.0, "adp_b": 0.6, "adp_c": -0.5}


def made(people: int, each: int, *, seed: int = 0) -> list[tuple[str, str, str]]:
    """Preferences of people who compare several times, with a taste of their own for one version."""
    draw = np.random.default_rng(seed)
    names = list(TRUE)
    told = []
    for person in range(people):
        taste = draw.normal(0, 1.0)
        for _ in range(each):
            first, second = draw.choice(3, 2, replace=False)
            gap = TRUE[names[first]] - TRUE[names[second]]
            gap += taste * (int(names[first] == "adp_b") - int(names[second] == "adp_b"))
            won = draw.random() < 1 / (1 + np.exp(-gap))
            pair = (names[first], names[second]) if won else (names[second], names[first])
            told.append((*pair, f"person {person}"))
    return told


def test_estimates_and_intervals_are_those_of_a_clustered_logistic_regression() -> None:
    told = made(80, 5)
    found = {each.name: each for each in strengths(told, reference="adp_a")}
    columns = {"adp_b": 0, "adp_c": 1}
    design = np.zeros((len(told), 2))
    outcome = np.ones(len(told))
    for row, (won, lost, _) in enumerate(told):
        # As a regression has it: half of the rows the other way round, so that both outcomes occur.
        sign = 1.0 if row % 2 else -1.0
        outcome[row] = float(row % 2)
        if won in columns:
            design[row, columns[won]] += sign
        if lost in columns:
            design[row, columns[lost]] -= sign
    people = np.unique([who for _, _, who in told], return_inverse=True)[1]
    fitted = GLM(outcome, design, family=Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": people, "use_correction": False}
    )
    wider = np.sqrt(80 / 79)
    for name, at in columns.items():
        assert found[name].log_odds == pytest.approx(fitted.params[at], abs=2e-3)
        half = 1.959964 * fitted.bse[at] * wider
        assert found[name].upper - found[name].log_odds == pytest.approx(half, rel=5e-3)
    assert found["adp_a"].log_odds == found["adp_a"].lower == 0
    assert [each.name for each in strengths(told)] == ["adp_b", "adp_a", "adp_c"]


def test_votes_of_one_person_are_not_worth_those_of_many() -> None:
    flood = [("adp_b", "adp_a", "one")] * 60 + [("adp_a", "adp_b", "two")] * 20
    many = [(won, lost, f"p{at}") for at, (won, lost, _) in enumerate(flood)]
    widths = []
    for told in (flood, many):
        (best, _) = strengths(told, reference="adp_a")
        assert best.log_odds == pytest.approx(np.log(3), abs=1e-2)
        widths.append(best.upper - best.lower)
    assert widths[0] > 3 * widths[1]


def test_who_never_lost_is_not_infinitely_good() -> None:
    (best, other) = strengths([("adp_b", "adp_a", f"p{at}") for at in range(5)])
    assert {best.name, other.name} == {"adp_a", "adp_b"}
    sure = best if best.lower != best.upper else other
    assert np.isfinite(sure.log_odds) and sure.upper - sure.lower > 5
    assert (best.name, best.wins, best.comparisons, best.people) == ("adp_b", 5, 5, 5)


def test_nothing_said_ranks_nothing() -> None:
    assert strengths([]) == []
    assert strengths([("adp_a", "adp_a", "ana")]) == []
