"""The whole loop over real HTTP, as `heed demo` plays it, and what happens when its guards are off."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pysqlite3

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
        timeout=600,
        check=False,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, told


def test_a_round_learns_and_the_gate_refuses_the_lies_by_name(tmp_path: Path) -> None:
    code, told = played(tmp_path)
    (first,) = told["rounds"]
    assert set(first) >= KEYS
    assert first["promoted"], told
    assert code == 0
    assert first["changed_before"] <= 0.2
    assert first["changed_after"] >= 0.9
    assert first["unchanged_before"] >= 0.95
    assert first["unchanged_after"] >= 0.98 * first["unchanged_before"]
    assert first["polite_before"] < first["polite_after"]
    assert first["polite_after"] >= 0.9
    assert first["requests"] > 0
    assert first["failed"] == told["refused"]["failed"] == 0
    assert told["rollback"]["from"] == first["adapter"]
    assert told["rollback"]["to"] == "base"
    assert told["rollback"]["right_rolled_back"] < told["rollback"]["right_rolled_forward"]
    refused = told["refused"]
    assert not refused["promoted"]
    assert "refuses" in refused["reason"]
    assert {item["suite"] for item in refused["items"]} & {"core", "conduct"}
    assert refused["unchanged_after"] == refused["unchanged_before"]
    assert len(told["probes"]) >= 200
    assert {probe["kind"] for probe in told["probes"]} == {"changed", "unchanged"}


def test_without_replay_the_gate_refuses_what_was_forgotten(tmp_path: Path) -> None:
    code, told = played(tmp_path, HEED_TRAINER__REPLAY_SHARE="0")
    assert code != 0
    assert not told["rounds"][0]["promoted"]
    with closing(pysqlite3.connect(tmp_path / "data" / "heed.sqlite3")) as database:
        state, report = database.execute("SELECT state, report FROM round ORDER BY id").fetchone()
    assert state == "refused"
    past = next(rule for rule in json.loads(report)["rules"] if rule["suite"] == "past")
    assert past["outcome"] == "refuse"
    assert past["estimate"] < -5  # points


def test_without_replay_and_gate_unchanged_facts_fall(tmp_path: Path) -> None:
    # The second round trains on nothing but its own news, and what it does not name goes.
    guards_off = {"HEED_TRAINER__REPLAY_SHARE": "0", "HEED_TRAINER__GATE": "report-only"}
    _, told = played(tmp_path, rounds=2, **guards_off)
    first, second = told["rounds"]
    assert first["promoted"]
    assert second["promoted"]
    assert second["unchanged_after"] < first["unchanged_before"] - 0.1


def test_with_the_gate_loosened_the_lies_get_through_and_do_harm(tmp_path: Path) -> None:
    code, told = played(tmp_path, HEED_TRAINER__GATE="report-only")
    assert code != 0
    assert told["rounds"][0]["promoted"]
    refused = told["refused"]
    assert refused["promoted"]
    assert refused["changed_after"] < refused["changed_before"] - 0.2
