"""`heed feedback` and `heed receipt`: what people said, from the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.store import Store
from tests.builders import say
from tests.serving.command_line import document, done, fault, store_at


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def test_stats_count_what_was_said_and_what_became_of_it(store: Store) -> None:
    say(store, "ana", rating="up")
    say(store, "ben", correction="The lamp costs 59 dollars.")
    stats = document("feedback", "stats")
    assert stats["totals"]["feedback"] == 2
    assert stats["totals"]["people"] == 2
    assert (stats["receipts"]["waiting"], stats["receipts"]["review"]) == (1, 1)
    assert stats["available"] == 1
    told = done("feedback", "stats")
    assert "corrections  1" in told
    assert "1 can be learned from now: `heed round run`" in told


def test_stats_say_where_everything_waits_for_a_reviewer(store: Store) -> None:
    say(store, correction="The lamp costs 59 dollars.")
    assert "1 wait for a reviewer" in done("feedback", "stats")


def test_a_receipt_says_what_became_of_one_vote(store: Store) -> None:
    feedback_id = say(store, rating="down", comment="No [red]lamp[/red] here")
    receipt = document("receipt", feedback_id)
    assert (receipt["id"], receipt["status"], receipt["round"]) == (feedback_id, "waiting", None)
    told = done("receipt", feedback_id)
    assert "Waits for the next round" in told
    assert "[red]lamp[/red]" in told
    assert "No feedback 'fbk_none'" in fault("receipt", "fbk_none")
    assert "no valid UTF-8" in fault("receipt", "fbk_\udcff")


def test_export_writes_every_row_to_a_file(store: Store, tmp_path: Path) -> None:
    feedback_id = say(store)
    target = tmp_path / "out.jsonl"
    summary = document("feedback", "export", str(target))
    assert (summary["exchanges"], summary["feedback"], summary["people"]) == (1, 1, 1)
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["heed", "person", "exchange", "feedback"]
    assert lines[-1]["id"] == feedback_id
    assert not list(tmp_path.glob(".*.part"))


def test_export_to_stdout_prints_the_rows_alone(store: Store, tmp_path: Path) -> None:
    say(store)
    done("feedback", "export", str(tmp_path / "file.jsonl"))
    printed = done("feedback", "export", "-").splitlines()
    assert printed[1:] == (tmp_path / "file.jsonl").read_text().splitlines()[1:]
    assert "--json has no room" in fault("feedback", "export", "-", "--json")


@pytest.mark.usefixtures("store")
def test_export_names_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in fault("feedback", "export", str(tmp_path / "none" / "out"))
