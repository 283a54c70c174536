"""The gate's p-values and intervals are those of statsmodels and scipy on the same data."""

import warnings

import numpy as np
import pytest
from scipy import stats

from trainer.intervals import (
    clopper_pearson_upper,
    paired_difference,
    sign_test,
    tango_lower,
    wilson,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what its own imports warn of is not ours
    from statsmodels.stats import contingency_tables, proportion

TABLES = [(5, 0), (9, 2), (20, 12), (3, 3), (1, 8), (40, 31)]
COUNTS = [(0, 20), (1, 20), (7, 50), (49, 50), (50, 50), (12, 1_000)]


@pytest.mark.parametrize(("gained", "lost"), TABLES)
def test_the_sign_test_is_one_side_of_mcnemars_exact_test(gained: int, lost: int) -> None:
    table = np.array([[100, lost], [gained, 80]])
    both_sides = contingency_tables.mcnemar(table, exact=True).pvalue
    one_side = min(sign_test(gained, lost), sign_test(lost, gained))
    assert min(1.0, 2 * one_side) == pytest.approx(both_sides, rel=1e-12)
    test = stats.binomtest(gained, gained + lost, alternative="greater")
    assert sign_test(gained, lost) == pytest.approx(test.pvalue, rel=1e-12)


@pytest.mark.parametrize(("count", "total"), COUNTS)
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 15])
def test_one_sided_bounds_are_clopper_and_pearsons(count: int, total: int, alpha: float) -> None:
    # A two-sided interval at twice the level has the one-sided bounds as its ends.
    _, upper = proportion.proportion_confint(count, total, alpha=2 * alpha, method="beta")
    assert clopper_pearson_upper(count, total, alpha) == pytest.approx(upper, rel=1e-12)
    test = stats.binomtest(count, total).proportion_ci(1 - 2 * alpha, method="exact")
    assert clopper_pearson_upper(count, total, alpha) == pytest.approx(test.high, rel=1e-12)


@pytest.mark.parametrize(("count", "total"), COUNTS)
def test_the_interval_of_a_share_is_wilsons(count: int, total: int) -> None:
    lower, upper = proportion.proportion_confint(count, total, method="wilson")
    assert wilson(count, total) == pytest.approx((lower, upper), abs=1e-12)
    test = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert wilson(count, total) == pytest.approx((test.low, test.high), abs=1e-12)


def newcombe(gained: int, lost: int, kept: int, failed: int, alpha: float) -> tuple[float, float]:
    """Newcombe's interval for paired shares (1998, method 10), from statsmodels' Wilson bounds."""
    total = gained + lost + kept + failed
    after, before = gained + kept, lost + kept
    (l1, u1), (l2, u2) = (
        proportion.proportion_confint(count, total, alpha=alpha, method="wilson")
        for count in (after, before)
    )
    p1, p2 = after / total, before / total
    cells = float(kept * failed - gained * lost)
    if cells > total / 2:
        cells -= total / 2
    elif cells > 0:
        cells = 0.0
    spread = np.sqrt(after * (total - after) * before * (total - before))
    phi = cells / spread if spread else 0.0
    low = np.sqrt((p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2)
    high = np.sqrt((u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2)
    return p1 - p2 - low, p1 - p2 + high


@pytest.mark.parametrize("cells", [(9, 4, 60, 27), (6, 3, 150, 41), (2, 7, 300, 91)])
def test_the_score_bound_lies_by_newcombes(cells: tuple[int, int, int, int]) -> None:
    """Two methods for the same thing: near each other, though not the same."""
    gained, lost, total = cells[0], cells[1], sum(cells)
    lower, upper = newcombe(*cells, alpha=0.1)
    width = upper - lower
    assert tango_lower(gained, lost, total) == pytest.approx(lower, abs=0.06 * width)
    assert -tango_lower(lost, gained, total) == pytest.approx(upper, abs=0.06 * width)


def test_bounds_at_another_level_are_as_wide_as_scipys_bootstrap_says() -> None:
    draw = np.random.default_rng(0)
    changes = draw.choice([-1, 0, 1], size=600, p=[0.06, 0.86, 0.08])
    alpha = 0.01
    found = paired_difference(changes.tolist(), list(range(600)), alpha=alpha)
    theirs = stats.bootstrap(
        (changes,),
        np.mean,
        n_resamples=4_000,
        confidence_level=1 - 2 * alpha,
        method="BCa",
        rng=draw,
        vectorized=True,
    ).confidence_interval
    assert found.lower == pytest.approx(theirs.low, abs=0.004)
    assert found.upper == pytest.approx(theirs.high, abs=0.004)
    usual = paired_difference(changes.tolist(), list(range(600)))
    assert found.lower < usual.lower < usual.estimate < usual.upper < found.upper
