"""The simulation behind the gate's two figures."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gate_power


@pytest.mark.parametrize("clustered", [False, True])
def test_simulated_rounds_have_the_change_that_they_promise(clustered: bool) -> None:
    draw = np.random.default_rng(0)
    changes, clusters = [], set()
    for _ in range(20):
        found = gate_power.evidence(draw, loss=0.02, clustered=clustered)
        protected = [pair for pair in found.pairs if pair.kind == "protected"]
        changes += [pair.change for pair in protected]
        clusters.add(len(protected) / len({pair.cluster for pair in protected}))
    assert np.mean(changes) == pytest.approx(-0.02, abs=0.005)
    assert np.mean(np.abs(changes)) == pytest.approx(gate_power.DISCORDANCE, abs=0.01)
    assert clusters == {gate_power.CLUSTER if clustered else 1}


def test_items_of_a_cluster_tend_to_change_together() -> None:
    draw = np.random.default_rng(0)
    rows: dict[str, list[int]] = {}
    for number in range(20):
        for pair in gate_power.evidence(draw, loss=0.0, clustered=True).pairs:
            if pair.kind == "protected":
                rows.setdefault(f"{number} {pair.cluster}", []).append(pair.change)
    found = np.corrcoef(np.array(list(rows.values())).T)
    apart = found[~np.eye(len(found), dtype=bool)]
    assert apart.mean() == pytest.approx(gate_power.TOGETHER**2, abs=0.03)


def test_the_gate_is_asked_and_its_answers_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["gate_power", "--rounds", "4", "--out", str(tmp_path), "--json"]
    )
    code = gate_power.main()
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "gate.json").read_text())
    for loss in ("2", "0"):
        assert sum(found[f"alone, true loss {loss} points"].values()) == 4
    missed = found["false_promotions"] > 0.05 or found["power"] < 0.8
    assert code == int(missed)
    bad = gate_power.simulate(4, loss=0.08, clustered=False, seed=0)
    assert bad["refuse"] == 4, "four times the loss that is allowed"
