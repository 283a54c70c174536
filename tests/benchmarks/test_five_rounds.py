"""Rounds by the clock: what counts as explained, what counts as right, and a short life of a server."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import five_rounds
from benchmarks.five_rounds import unexplained
from benchmarks.ledger_recount import _right
from tests import builders
from trainer.evidence import Evidence, Paired
from trainer.gate import judge

NEW = [Paired(f"n{n}", "new", f"n{n}", False, n > 4, kind="new") for n in range(30)]


def row(lost: int, state: str) -> dict[str, Any]:
    """A round whose suite lost so many of 400, as the API shows it."""
    kept = [Paired(f"w{n}", "world", f"w{n}", True, n >= lost) for n in range(400)]
    report = judge(Evidence(pairs=(*kept, *NEW)), builders.plan())
    stored = json.loads(json.dumps(report.to_json()))
    return {"id": "rnd_1", "state": state, "message": report.summary, "report": stored}


def test_a_verdict_follows_from_its_report() -> None:
    for lost, state in ((0, "promoted"), (6, "abstained"), (40, "refused")):
        assert unexplained(row(lost, state)) == []


def test_what_nobody_looked_for_is_a_reason_to_abstain() -> None:
    kept = [Paired(f"w{n}", "world", f"w{n}", True, True) for n in range(400)]
    report = judge(Evidence(pairs=tuple(kept)), builders.plan())
    stored = json.loads(json.dumps(report.to_json()))
    unseen = {"id": "rnd_1", "message": report.summary, "report": stored}
    assert unexplained({**unseen, "state": "abstained"}) == []
    assert unexplained({**unseen, "state": "promoted"}) != []


def test_what_does_not_follow_is_named() -> None:
    (found,) = unexplained(row(40, "promoted"))
    assert found == "rnd_1: the rules say refuse, and it was promoted"
    assert "silent about non-inferiority of world" in str(
        unexplained({**row(40, "refused"), "message": "No."})
    )
    below = row(0, "promoted")
    below["report"]["rules"][0]["lower"] = -2.5
    assert unexplained(below) == ["rnd_1: non-inferiority of world holds below its margin"]
    none = {**row(0, "promoted"), "state": "failed", "report": None}
    assert "failed without a report" in unexplained(none)[0]


@pytest.mark.parametrize(
    ("check", "expected", "answer", "right"),
    [
        ("exact", "The lamp is 59 dollars.", "the lamp is  59 dollars", True),
        ("exact", "The lamp is 59 dollars.", "The lamp is 5 dollars.", False),
        ("contains", "59 dollars", "Of course! It is 59 dollars.", True),
        ("contains", "59 dollars", "It is 159 dollars.", False),
        ("refused", "don't know|cannot say", "I don’t know.", True),
        ("refused", "don't know|cannot say", "It is red.", False),
    ],
)
def test_the_recount_tells_right_from_wrong_by_itself(
    check: str, expected: str, answer: str, right: bool
) -> None:
    assert _right(answer, ([], check, expected)) is right


@pytest.mark.slow
def test_two_rounds_by_the_clock_are_explained_and_the_ledger_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["five_rounds", "--rounds", "2", "--bad", "0", "--out", str(tmp_path), "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    code = five_rounds.main()
    told = json.loads((tmp_path / "five_rounds.json").read_text())
    assert code == 0, told
    assert len(told["rounds"]) >= 2 and told["recount"]["adapters"] >= 2
