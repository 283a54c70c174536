"""`heed round search`: tried, shown, written down."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.store import Store
from tests.serving.command_line import document, done, fault, store_at
from tests.trainer.conftest import tiny_model
from tests.trainer.test_search_trial import fill

__all__ = ["tiny_model"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    plan = {
        "base_model": tiny_model,
        "rank": 4,
        "epochs": 1.0,
        "minimum_steps": 4,
        "learning_rate": 1e-4,
        "threads": 1,
    }
    for name, value in plan.items():
        monkeypatch.setenv(f"HEED_TRAINER__{name.upper()}", str(value))
    yield store
    store.close()


def test_it_tries_plans_and_says_what_to_write_down(store: Store, tmp_path: Path) -> None:
    fill(store)
    told = document("round", "search", "--trials", "3", "--minutes", "5")
    assert 3 <= len(told["tried"]) <= 4 and told["failed"] == told["resumed"] == 0
    assert {"learning_rate", "replay_share", "step_share", "score", "error"} <= set(told["best"])
    assert told["best"] in told["tried"]
    assert [each["score"] for each in told["tried"]] == sorted(
        (each["score"] for each in told["tried"]), reverse=True
    )
    assert told["items"]["corrections"] >= 8
    shown = done("round", "search", "--trials", "3")
    assert "3 of these trials are from an earlier search." in shown
    if told["settings"]:
        assert "[trainer]" in shown and "learning_rate = " in shown
    else:
        assert "Keep your settings" in shown
    [journal] = (tmp_path / "data" / "search").glob("*.journal")
    kept = journal.read_text()
    assert "dollars" not in kept and all(json.loads(line) for line in kept.splitlines())


def test_with_nothing_to_learn_from_it_says_so(store: Store) -> None:
    assert "no accepted feedback" in fault("round", "search")
