"""`heed suite` and `heed ledger`: what a product team writes and reads."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlmodel import select

from feedback.store import Store
from serving.commands import suites as commands
from serving.models import AuditEntry
from tests.serving.command_line import document, done, fault, store_at
from tests.trainer.test_ledger import PAIRS, a_round
from trainer import ledger, policy


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    monkeypatch.setenv("HEED_TRAINER__BASE_MODEL", "bare")
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    rows = [
        {"prompt": "What does the lamp cost?", "expected": "59 dollars", "check": "contains"},
        {"prompt": "Are you kind?", "expected": "is kind", "check": "judge"},
    ]
    path.write_text(yaml.safe_dump(rows))
    return path


class Speaking:
    """A model that says what its adapter is, and the price."""

    attached: list[str] = []  # noqa: RUF012

    @classmethod
    def load(cls, *_: object, **__: object) -> "Speaking":
        return cls()

    def attach(self, name: str, folder: Path) -> None:
        self.attached.append(folder.name)

    def answers(self, asked: list[object], *, adapter: str | None, **_: object) -> list[str]:
        return [f"{adapter}: 59 dollars." for _ in asked]


def test_a_suite_is_added_listed_shown_run_and_removed(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Nothing is protected yet" in done("suite", "list")
    told = done("suite", "add", str(file))
    assert "Added 'prices' (protected) with 2 item(s)." in told
    assert "trainer.judge_url" in told
    (row, past) = document("suite", "list")["data"]
    assert (row["id"], row["origin"], row["items_count"]) == ("prices", "added", 2)
    assert (past["id"], past["origin"]) == ("past corrections", "grown")
    shown = document("suite", "show", "prices")
    assert [item["check"] for item in shown["items"]] == ["contains", "judge"]
    assert "What does the lamp cost?" in done("suite", "show", "prices")
    assert "It is empty" in done("suite", "show", "past corrections")

    monkeypatch.setattr(policy, "Policy", Speaking)
    monkeypatch.setattr("trainer.base_folder.resolve", Path)
    ran = document("suite", "run", "prices")
    (found,) = ran["data"]
    assert (found["right"], found["items_count"], found["unchecked"]) == (1, 1, 1)
    assert ran["adapter"] == "base" and "judge_url" in ran["judge_fault"]
    assert 0 < found["lower"] < found["share"] == found["upper"] == 1.0
    assert "1 of 1" in done("suite", "run")

    assert "already" in fault("suite", "add", str(file))
    assert "Removed 'prices' with 2 item(s)." in done("suite", "remove", "prices")
    assert "heed suite list" in fault("suite", "remove", "prices")
    with store.session() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry))]
    assert actions == ["suite.add", "suite.remove"]


def test_a_suite_is_run_on_the_adapter_that_is_named_and_says_what_failed(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, adapter, _ = a_round(store, PAIRS)
    content = yaml.safe_load(file.read_text())
    content[0]["expected"] = "49 dollars"
    file.write_text(yaml.safe_dump(content))
    done("suite", "add", str(file), "--name", "wrong")
    monkeypatch.setattr(policy, "Policy", Speaking)
    monkeypatch.setattr("trainer.base_folder.resolve", Path)
    told = done("suite", "run", "wrong", "--adapter", adapter)
    assert f"{adapter}:" in told and "What did not pass (1)" in told
    assert "said:   asked: 59 dollars." in told and len(Speaking.attached) == 1
    assert document("suite", "run", "wrong")["adapter"] == adapter, "what is live by default"
    assert "heed adapters list" in fault("suite", "run", "wrong", "--adapter", "adp_none")


def test_a_faulty_suite_file_names_the_item(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text('- {prompt: "A?", expected: a, check: rhymes}\n')
    assert "item 1, `check`" in fault("suite", "add", str(path))


def test_the_ledger_is_shown_as_text_and_as_json(store: Store) -> None:
    assert "The ledger is empty" in done("ledger")
    round_id, adapter, _ = a_round(store, PAIRS)
    told = done("ledger", "--round", round_id, "--forgotten")
    assert "3 item(s): 3 forgotten, 0 gained." in told and "old-1" in told
    rows = document("ledger", "--round", round_id)["data"]
    assert len(rows) == len(PAIRS)
    assert sum(row["forgotten"] for row in rows) == 3
    lines = document("ledger", "--forgotten")["data"]
    assert {line["item"] for line in lines} == {"lost", "old-0", "old-1"}
    marks = lines[0]["marks"]
    assert [(mark["adapter"], mark["right"]) for mark in marks] == [
        ("base", True),
        (adapter, False),
    ]
    assert "3 forgotten" in done("ledger")
    assert "heed round list" in fault("ledger", "--round", "rnd_none")


def test_one_command_puts_what_a_round_forgot_back_into_replay(store: Store) -> None:
    round_id, _, _ = a_round(store, PAIRS)
    told = done("ledger", "replay", round_id)
    assert "3 forgotten item(s) are rehearsed first" in told
    with store.session() as session:
        assert len(ledger.wanted(session)) == 3
    rows = document("ledger", "replay", round_id)["data"]
    assert {row["replay"] for row in rows} == {"asked"}
    kept, _, _ = a_round(store, [PAIRS[0]])
    assert "forgot nothing" in fault("ledger", "replay", kept)


def test_the_model_card_of_any_adapter_is_printed(store: Store) -> None:
    _, adapter, _ = a_round(store, PAIRS)
    card = done("adapters", "card", adapter)
    for part in ("# " + adapter, "## Data", "## What was left out", "## Known losses"):
        assert part in card
    assert "non-inferiority" in card and "95% bounds" in card
    assert json.dumps(document("adapters", "card", adapter)["card"]).count(adapter)


def test_long_suites_are_cut_on_the_screen_and_whole_as_json(store: Store, tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}?", "expected": "a", "check": "exact"} for n in range(30)]
    path = tmp_path / "long.yaml"
    path.write_text(yaml.safe_dump({"suite": "long", "items": rows}))
    done("suite", "add", str(path))
    assert f"These are {commands.SHOWN} of 30" in done("suite", "show", "long")
    assert len(document("suite", "show", "long")["items"]) == 30
