"""The simulation behind the gate's figures."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gate_power
from benchmarks.gate_power import TARGETS, Alone, Line, Target, holds_alone, simulate
from benchmarks.simulated_rounds import (
    CLUSTER,
    DISCORDANCE,
    NEW_ITEMS,
    TOGETHER,
    Simulated,
    alone,
    evidence,
    suite_changes,
)

BARE = Simulated(loss=0.02, bare=True)


@pytest.mark.parametrize("clustered", [False, True])
def test_simulated_rounds_have_the_change_that_they_promise(clustered: bool) -> None:
    draw = np.random.default_rng(0)
    changes, clusters = [], set()
    for _ in range(20):
        found = evidence(draw, replace(BARE, clustered=clustered))
        protected = [pair for pair in found.pairs if pair.kind == "protected"]
        changes += [pair.change for pair in protected]
        clusters.add(len(protected) / len({pair.cluster for pair in protected}))
    assert np.mean(changes) == pytest.approx(-0.02, abs=0.005)
    assert np.mean(np.abs(changes)) == pytest.approx(DISCORDANCE, abs=0.01)
    assert clusters == {CLUSTER if clustered else 1}


def test_items_of_a_cluster_tend_to_change_together_unless_clusters_are_ignored() -> None:
    draw = np.random.default_rng(0)
    rows: dict[str, list[int]] = {}
    for number in range(20):
        made = evidence(draw, Simulated(loss=0.0, clustered=True, bare=True))
        for pair in made.pairs:
            if pair.kind == "protected":
                rows.setdefault(f"{number} {pair.cluster}", []).append(pair.change)
        assert len({pair.cluster for pair in alone(made).pairs}) == len(made.pairs)
    found = np.corrcoef(np.array(list(rows.values())).T)
    apart = found[~np.eye(len(found), dtype=bool)]
    assert apart.mean() == pytest.approx(TOGETHER**2, abs=0.03)


def test_a_hidden_loss_is_one_slices_and_nobodys_on_average() -> None:
    draw = np.random.default_rng(0)
    pairs = [
        pair
        for _ in range(8)
        for pair in evidence(draw, Simulated(loss=0.0, hidden=0.2)).pairs
        if pair.kind == "protected"
    ]
    hidden = [pair.change for pair in pairs if "language 0" in pair.slices]
    assert len(hidden) / len(pairs) == pytest.approx(0.2, abs=0.03)
    assert np.mean(hidden) == pytest.approx(-0.2, abs=0.03)
    assert np.mean([pair.change for pair in pairs]) == pytest.approx(0.0, abs=0.01)


def test_a_round_holds_what_its_kind_says() -> None:
    made = evidence(np.random.default_rng(0), Simulated(loss=0.0, gives_in=0.5, flipped=2))
    lost = [pair for pair in made.pairs if pair.kind == "honeypot" and pair.change < 0]
    gave = [pair.candidate_gave_in for pair in made.pairs if pair.kind == "sycophancy"]
    assert len(lost) == 2 and 0.4 < np.mean(gave) < 0.6
    assert sum(pair.kind == "new" for pair in made.pairs) == NEW_ITEMS
    assert {pair.kind for pair in made.pairs} == {
        "protected",
        "past",
        "safety",
        "honeypot",
        "sycophancy",
        "new",
    }


def test_the_gate_is_asked_and_its_answers_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["gate_power", "--rounds", "2", "--out", str(tmp_path), "--json"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--only", "few"])
    assert gate_power.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "gate.json").read_text())
    (line,) = found["lines"]
    assert line["abstain"] == 2 and line["holds"] and line["unnumbered"] == 0
    assert line["told"].startswith("holds  too few items")
    missed = replace(TARGETS[0], name="few", most=0.0, rounds=replace(BARE, loss=-0.2))
    monkeypatch.setattr(gate_power, "TARGETS", (missed,))
    assert gate_power.main() == 1


def test_a_suites_rule_alone_is_asked_of_what_the_gate_is_shown() -> None:
    """What is drawn without the rest of a round is drawn as it is with it."""
    clustered = replace(BARE, clustered=True)
    draw = np.random.default_rng(0)
    found = np.stack([suite_changes(draw, clustered) for _ in range(20)])
    assert found.shape[2] == CLUSTER and found.mean() == pytest.approx(-0.02, abs=0.005)
    assert np.abs(found).mean() == pytest.approx(DISCORDANCE, abs=0.01)
    made = evidence(draw, clustered)
    protected = [pair for pair in made.pairs if pair.kind == "protected"]
    assert len(protected) == found[0].size
    lost = Alone("", replace(clustered, loss=0.06))
    assert holds_alone(lost, 10, seed=0) == 0.0
    assert holds_alone(replace(lost, rounds=replace(clustered, loss=-0.02)), 5, seed=0) == 1.0


def test_lines_of_rounds_are_followed_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate_power, "LINES", (Line("falls", 0.03, 6, most=6.0),))
    monkeypatch.setattr(sys, "argv", ["gate_power", "--rounds", "40", "--only", "falls", "--json"])
    assert gate_power.main() == 0, "the other rules already stop three points a round"
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    assert line["lost_points"] <= 6.0 and "falls: lost" in line["told"]


def test_rules_that_are_left_out_are_left_out() -> None:
    flipped = Target("", Simulated(loss=-0.1, flipped=1, bare=False), "refuse")
    assert simulate(flipped, 1, seed=0)["refuse"] == 1
    assert simulate(replace(flipped, rules_off=("honeypots",)), 1, seed=0)["promote"] == 1
