"""The simulation behind the watch's figures."""

import json
import math
import sys

import numpy as np
import pytest

from benchmarks import watch_power
from serving.watch_measures import CORRECTIONS, SATISFACTION


def test_a_big_change_is_seen_soon_and_sooner_than_a_small_one() -> None:
    draw = np.random.default_rng(0)
    for name in (SATISFACTION, CORRECTIONS):
        big = [watch_power.delay(draw, name, 0.2, 0) for _ in range(5)]
        small = [watch_power.delay(draw, name, 0.1, 0) for _ in range(5)]
        assert np.median(big) < 200
        assert np.median(big) < np.median(small) < 1500


def test_answers_that_are_counted_each_for_itself_cry_wolf() -> None:
    draw = np.random.default_rng(1)
    cries = {
        each: np.mean([watch_power.crowded(draw, 5, each_answer=each) for _ in range(16)])
        for each in (False, True)
    }
    assert cries[False] <= 0.05
    assert cries[True] > cries[False]


def test_an_alarm_at_the_very_end_counts() -> None:
    found = watch_power.detector(SATISFACTION)
    assert math.isfinite(watch_power.first_alarm(found, [1.0] * 200, [0.0] * 9))


def test_more_false_alarms_than_promised_are_named_and_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch_power, "REFERENCE", 300)
    monkeypatch.setattr(watch_power, "POINTS", {0.2: 300})
    monkeypatch.setattr(watch_power, "LATE", 100)
    monkeypatch.setattr(watch_power, "crowded", lambda *_, each_answer: not each_answer)
    monkeypatch.setattr(
        sys, "argv", ["watch_power", "--runs", "3", "--observations", "60", "--json"]
    )
    assert watch_power.main() == 1
    found = json.loads(capsys.readouterr().out)
    assert found["missed"] == ["false alarms, ten answers each: 100.0%, above 5%"]
