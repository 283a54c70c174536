"""The simulation behind the figures on reviewers' verdicts."""

import json
import sys

import numpy as np
import pytest

from benchmarks import pair_power


@pytest.mark.parametrize("net", pair_power.PREFERENCES)
def test_simulated_verdicts_have_the_preference_that_they_promise(net: float) -> None:
    told = pair_power.verdicts(np.random.default_rng(0), net=net, pairs=4000, reviewers=2)
    assert np.mean([each.change for each in told]) == pytest.approx(net, abs=0.04)
    ties = np.mean([each.choice == "tie" for each in told])
    assert ties == pytest.approx(pair_power.NEITHER, abs=0.03)


def test_reviewers_of_one_pair_mostly_agree() -> None:
    told = pair_power.verdicts(np.random.default_rng(0), net=0.0, pairs=2000, reviewers=2)
    alike = np.mean(
        [one.choice == two.choice for one, two in zip(told[::2], told[1::2], strict=True)]
    )
    assert alike > 0.75


def test_it_prints_what_became_of_the_rounds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pair_power", "--rounds", "5", "--pairs", "10", "--json"])
    pair_power.main()
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"-0.20", "+0.00", "+0.10", "+0.20", "+0.30"}
    assert sum(found["+0.30"].values()) == pytest.approx(1)
