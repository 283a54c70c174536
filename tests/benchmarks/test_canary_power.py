"""The simulation behind the canary's figures."""

import json
import sys

import numpy as np
import pytest

from benchmarks import canary_power
from trainer.canary import Stream


@pytest.mark.parametrize(("share", "ratio"), [(0.5, 1), (0.05, 19)])
def test_the_simulation_looks_at_what_the_product_would_see(share: float, ratio: int) -> None:
    draw = np.random.default_rng(0)
    lost = canary_power.differences(draw, 0.8, 0.15, (6, 400), ratio)
    seen = canary_power.first_look(lost, ratio, needed=20.0)
    for row, first in zip(lost, seen, strict=True):
        heard = Stream("votes", share=share, alpha=0.05, weight=1.0, safe_weight=1.0, margin=0.05)
        alarm = np.inf
        for number, difference in enumerate(row):
            # Any people with this difference do: the bets see nothing else.
            for place in range(ratio):
                heard.see(f"o{number}-{place}", max(0.0, difference), new=False)
            heard.see(f"n{number}", max(0.0, -difference), new=True)
            if heard.worse:
                alarm = number + 1
                break
        assert alarm == first


def test_simulated_pairs_have_the_loss_that_they_promise() -> None:
    draw = np.random.default_rng(0)
    for ratio in (1, 19):
        found = canary_power.differences(draw, 0.75, 0.1, (200, 500), ratio)
        assert found.mean() == pytest.approx(0.1, abs=0.01)


def test_votes_that_are_taken_each_for_itself_cry_wolf() -> None:
    found = canary_power.clustered(np.random.default_rng(0), 300, 8_000)
    assert found["product"] <= 0.05
    assert found["every vote for itself"] > 0.08


def test_a_missed_target_is_named_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(canary_power, "TARGETS", {0.2: 10})
    monkeypatch.setattr(canary_power, "BATCHES", 1)
    monkeypatch.setattr(sys, "argv", ["canary_power", "--runs", "40", "--looks", "500", "--json"])
    assert canary_power.main() == 1
    found = json.loads(capsys.readouterr().out)
    assert any(line.startswith("20 points from 75%") for line in found["missed"])
    assert found["pairs"]["one to one"]["75% - 20"] > found["pairs"]["5% of people"]["75% - 20"]
