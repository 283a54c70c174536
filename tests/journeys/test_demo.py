"""The whole loop over real HTTP, as `heed demo` plays it, and what happens when its guards are off."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pysqlite3
import pytest

KEYS = {
    "changed_before", "changed_after", "unchanged_before", "unchanged_after", "polite_before",
    "polite_after", "requests", "failed", "seconds", "promoted", "adapter",
}  # fmt: skip


def played(folder: Path, rounds: int = 1, **settings: str) -> tuple[int, dict[str, Any]]:
    """Play some rounds and the bad batch; returns the exit code and the document."""
    environment = {name: each for name, each in os.environ.items() if not name.startswith("HEED_")}
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-c", "from serving.cli import main; main()"),
            *("demo", "--rounds", str(rounds), "--exit", "--json"),
        ],
        env={
            **environment,
            **settings,
            "HF_HUB_OFFLINE": "1",
            "HEED_FEEDBACK__DATA_DIR": str(folder / "data"),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, told


def test_three_rounds_learn_and_the_gate_refuses_the_lies_by_name(tmp_path: Path) -> None:
    code, told = played(tmp_path, rounds=3)
    assert code == 0, told["refused"]["reason"]
    for each in told["rounds"]:
        assert set(each) >= KEYS
        assert each["promoted"]
        assert each["changed_before"] <= 0.2
        assert each["changed_after"] >= 0.9
        assert each["unchanged_before"] >= 0.95
        assert each["unchanged_after"] >= 0.98 * each["unchanged_before"]
        assert each["requests"] > 0
        assert each["failed"] == 0
    first, last = told["rounds"][0], told["rounds"][-1]
    assert first["polite_before"] < 0.5
    assert last["polite_after"] >= 0.9
    assert told["rollback"]["from"] == last["adapter"]
    assert told["rollback"]["to"] == told["rounds"][-2]["adapter"]
    assert told["rollback"]["right_rolled_back"] < told["rollback"]["right_rolled_forward"]
    refused = told["refused"]
    assert not refused["promoted"]
    assert refused["failed"] == 0
    assert "refuses" in refused["reason"]
    assert {item["suite"] for item in refused["items"]} & {"core", "conduct"}
    assert refused["unchanged_after"] == refused["unchanged_before"]
    assert len(told["probes"]) >= 200
    assert {probe["kind"] for probe in told["probes"]} == {"changed", "unchanged"}


def test_with_replay_and_gate_off_facts_fall_and_the_lies_do_harm(tmp_path: Path) -> None:
    # The second round trains on nothing but its own news, and what it does not name goes.
    guards_off = {"HEED_TRAINER__REPLAY_SHARE": "0", "HEED_TRAINER__GATE": "report-only"}
    code, told = played(tmp_path, rounds=2, **guards_off)
    assert code != 0
    first, second = told["rounds"]
    assert first["promoted"]
    assert second["promoted"]
    assert second["unchanged_after"] < first["unchanged_before"] - 0.1
    _assert_past_refused(tmp_path / "data")
    _assert_harm(told["refused"])


@pytest.mark.slow
def test_without_replay_the_gate_refuses_what_was_forgotten(tmp_path: Path) -> None:
    code, told = played(tmp_path, HEED_TRAINER__REPLAY_SHARE="0")
    assert code != 0
    assert not told["rounds"][0]["promoted"]
    _assert_past_refused(tmp_path / "data")


@pytest.mark.slow
def test_with_the_gate_loosened_the_lies_get_through_and_do_harm(tmp_path: Path) -> None:
    code, told = played(tmp_path, HEED_TRAINER__GATE="report-only")
    assert code != 0
    assert told["rounds"][0]["promoted"]
    _assert_harm(told["refused"])


def _assert_harm(refused: dict[str, Any]) -> None:
    """The bad batch went live, and the facts that it attacked are wrong now."""
    assert refused["promoted"]
    assert refused["changed_after"] < refused["changed_before"] - 0.2


def _assert_past_refused(data_dir: Path) -> None:
    """The first round lost so much of the past material that the gate refuses it for that."""
    with closing(pysqlite3.connect(data_dir / "heed.sqlite3")) as database:
        (report,) = database.execute("SELECT report FROM round ORDER BY id").fetchone()
    past = next(rule for rule in json.loads(report)["rules"] if rule["suite"] == "past")
    assert past["outcome"] == "refuse"
    assert past["estimate"] < -2  # points
