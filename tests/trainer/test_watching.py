"""A change is seen, nothing is seen where nothing changes, and states survive as plain data."""

import json
import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from trainer.watching import FIRST_SPACING, MOST_STARTS, Detector, Side, estimate


def fed(
    before: list[float], after: list[float], *, side: Side = "both", alpha: float = 0.05
) -> tuple[Detector, int | None]:
    """A detector that has heard everything, and when it alarmed."""
    found, alarm = Detector(alpha=alpha, side=side, least=0.01), None
    for value in before:
        found.refer(value)
    for number, value in enumerate(after):
        if found.see(value, float(number)):
            alarm = number + 1
    return found, alarm


def coins(chance: float, count: int, seed: int) -> list[float]:
    return [float(each) for each in np.random.default_rng(seed).random(count) < chance]


def test_a_change_is_seen_and_its_moment_found() -> None:
    found, alarm = fed(coins(0.75, 2000, 1), coins(0.75, 500, 2) + coins(0.45, 400, 3))
    assert alarm is not None and 500 < alarm < 700
    change = found.found
    assert change is not None
    assert change.at == pytest.approx(500, abs=100)
    assert change.before.mean == pytest.approx(0.75, abs=0.03)
    assert change.after.mean == pytest.approx(0.45, abs=0.12)
    assert change.evidence >= found.needed == 40.0
    assert found.alarmed and not found.look()


@pytest.mark.parametrize(("side", "seen"), [("down", True), ("up", False), ("both", True)])
def test_only_the_side_that_is_looked_for_is_seen(side: Side, seen: bool) -> None:
    _, alarm = fed(coins(0.7, 1000, 1), coins(0.4, 300, 2), side=side)
    assert (alarm is not None) is seen


@pytest.mark.parametrize("side", ["both", "down", "up"])
def test_false_alarms_are_as_rare_as_promised_whatever_the_mean(side: Side) -> None:
    runs, alarms = 60, 0
    for seed in range(runs):
        chance = 0.02 + 0.9 * seed / runs
        heard = coins(chance, 900, seed)
        alarms += fed(heard[:100], heard[100:], side=side)[1] is not None
    assert alarms / runs <= 0.05


def test_the_evidence_of_fractions_is_no_more_than_promised() -> None:
    """Its mean over many runs of one length is at most 1: that is what an e-value is."""
    values, draw = [], np.random.default_rng(0)
    for _ in range(400):
        heard = draw.beta(0.4, 0.3, size=120).tolist()
        found, _ = fed(heard[:60], heard[60:], alpha=1e-9)
        values.append(found.change().evidence)
    assert np.mean(values) < 1.0


def test_the_first_bet_is_what_its_integrals_say() -> None:
    before, after = [1.0] * 14 + [0.0] * 6, [1.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0]
    found, _ = fed(before, after, side="down")
    good, bad, level = sum(after), len(after) - sum(after), 14 / 20

    def weighed(total: float, lost: float, top: float) -> float:
        inside = quad(
            lambda m: stats.beta.pdf(m, 0.5, 0.5) * m**total * (1 - m) ** lost, 0, top, limit=200
        )[0]
        return float(inside / stats.beta.cdf(top, 0.5, 0.5))

    mean = (14 + good) / 30
    alike = mean ** (14 + good) * (1 - mean) ** (6 + bad)
    expected = 0.5 * weighed(14, 6, 1.0) * weighed(good, bad, level) / alike
    assert found.change().evidence == pytest.approx(expected, rel=1e-4)


def test_a_small_change_is_no_alarm_however_certain() -> None:
    found = Detector(alpha=0.05, side="up", least=0.1)
    for _ in range(20_000):
        found.refer(0.0)
    assert not any(found.see(float(number % 20 == 0), 0.0) for number in range(400))
    assert found.evidence > found.needed


def test_its_state_is_plain_data_and_stays_small() -> None:
    heard = coins(0.5, 6000, 5)
    found, _ = fed(heard[:200], heard[200:])
    kept = json.dumps(found.state())
    assert len(kept) < 8_000
    assert len(found.state()["starts"]) <= MOST_STARTS
    assert found.state()["spacing"] > FIRST_SPACING
    again = Detector(alpha=0.05, side="both", least=0.01, state=json.loads(kept))
    for value in coins(0.9, 300, 6):
        assert found.see(value, 1.0) == again.see(value, 1.0)
    assert again.state() == found.state()
    assert again.alarmed


def test_what_comes_after_an_alarm_has_half_of_what_is_left() -> None:
    found, alarm = fed(coins(0.7, 500, 1), coins(0.2, 300, 2))
    assert alarm
    anew = found.anew()
    assert (anew.own.count, anew.reference.count, anew.needed) == (0, 0, 2 * found.needed)
    assert not anew.alarmed
    with pytest.raises(ValueError, match="Nothing was seen"):
        anew.change()


def test_an_interval_holds_the_mean_at_every_moment() -> None:
    missed = 0
    for seed in range(200):
        heard = np.cumsum(coins(0.3, 400, seed))
        missed += any(
            not (found := estimate(float(heard[n - 1]), n)).lower <= 0.3 <= found.upper
            for n in (5, 20, 50, 100, 200, 400)
        )
    assert missed / 200 <= 0.05
    assert estimate(0, 0) == estimate(0.0, 0)
    assert estimate(0, 0).mean is None
    nobody = estimate(0.0, 50)
    assert nobody.lower == 0.0 and 0.05 < nobody.upper < 0.2
    assert estimate(50.0, 50).lower == pytest.approx(1 - nobody.upper, abs=1e-4)
    assert not math.isnan(estimate(0.5, 1).lower)


def test_what_lies_outside_is_refused() -> None:
    found = Detector(alpha=0.05, side="both", least=0.0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        found.see(1.5, 0.0)
