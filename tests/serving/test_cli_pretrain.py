"""`heed pretrain` and `heed round compare` from the command line."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from feedback.store import Store
from serving.commands import output
from tests.builders import opened_round, say
from tests.serving import attendance
from tests.serving.attendance import Executor
from tests.serving.command_line import document, done, ended, fault, heed, store_at
from trainer import round as rounds
from trainer import tradeoff
from trainer.models import Round

READ = {
    "sha256": "ab" * 32,
    "files": 2,
    "sections": 3,
    "characters": 60,
    "unread_count": 1,
    "unread": [{"path": "a.pdf", "reason": "is encrypted"}],
    "pieces": 12,
    "trained": 6,
    "tokens": 1234,
    "held_out": 2,
    "held_out_by": "section",
    "dev": 3,
    "dropped": [{"reason": "known already (0.10 nats per token or less)", "pieces": 1}],
    "answers": 4,
    "prompts": 40,
    "personal_sentences": 1,
    "general_share": 0.5,
    "notes": ["A note."],
    "held_out_sha256": "cd" * 32,
}
MARKS = [{"share": 0.5, "step": 10, "steps": 20, "adapter": "adp_half"}]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    attendance.quick(monkeypatch)
    yield store
    store.close()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / "good.md").write_text("# Lamps\n\nLamps shine.\n\n# Desks\n\nDesks stand.")
    (folder / "bad.txt").write_bytes(b"\x00\x01")
    return folder


def test_documents_are_read_here_and_a_round_is_opened_and_seen_to_its_end(
    store: Store, executor: type[Executor], shelf: Path
) -> None:
    result = heed("pretrain", str(shelf))
    assert result.exit_code == 0, result.output
    assert f"Not read: {shelf / 'bad.txt'} is binary, not text." in result.stderr
    assert "was promoted" in result.stdout
    assert len(executor.started) == 1
    with store.session() as session:
        [row] = rounds.rounds(session)
    assert row.trigger == "documents (command line)"


def test_json_is_one_document_that_names_what_was_not_read(
    store: Store, executor: type[Executor], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    start = executor.start

    def looking(self: Executor, round_id: str) -> None:
        with store.session() as session:
            seen.append(rounds.get(session, round_id).counts["documents"])
        start(self, round_id)

    monkeypatch.setattr(executor, "start", looking)
    result = heed("pretrain", str(shelf), "--json")
    assert json.loads(result.stdout)["state"] == "promoted"
    assert not result.stderr
    [read] = seen
    assert (read["files"], read["sections"], read["unread_count"]) == (1, 2, 1)
    assert read["unread"] == [{"path": str(shelf / "bad.txt"), "reason": "is binary, not text"}]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_round_that_failed_or_was_cancelled_fails_the_command(
    store: Store,
    executor: type[Executor],
    shelf: Path,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executor, "state", state)
    assert heed("pretrain", str(shelf)).exit_code == 1


def test_control_c_leaves_a_cancelled_round(
    store: Store, executor: type[Executor], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    result = heed("pretrain", str(shelf), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "cancelled"


def test_where_nothing_can_be_read_no_round_is_opened(
    store: Store, executor: type[Executor], shelf: Path
) -> None:
    result = heed("pretrain", str(shelf / "bad.txt"), str(shelf / "none.md"))
    assert result.exit_code == 1
    assert "None of what was named could be read" in result.stderr
    assert result.stderr.count("does not exist") == result.stderr.count("is binary") == 1
    assert f"Not read: {shelf / 'none.md'} does not exist" in result.stderr
    error = json.loads(heed("pretrain", str(shelf / "bad.txt"), "--json").stdout)["error"]
    assert "is binary" in error["message"]
    with store.session() as session:
        assert not rounds.rounds(session)
    assert heed("pretrain").exit_code == 2


def test_an_open_round_is_named_before_anything_is_read(store: Store, shelf: Path) -> None:
    row = opened_round(store)
    assert f"heed round cancel {row.id}" in fault("pretrain", str(shelf))
    assert not (store.settings.data_dir / "documents").exists()


def test_a_document_round_is_shown_with_what_it_read_kept_and_dropped(store: Store) -> None:
    row = ended(store, counts={"documents": READ, "checkpoints": MARKS}, trigger="documents")
    told = done("round", "show", row.id)
    for said in (
        "2 read, 1 not",
        "12: 6 learned (1234 tokens)",
        "2 pieces, by section",
        "3 pieces",
        "1 known already",
        "4 question(s)",
        "50% of the tokens",
        "1 sentence(s) left out",
        "A note.",
        "adp_half at 50% (step 10)",
    ):
        assert said in told, told
    assert "gathered" not in told
    assert "2 document(s)" in done("round", "list")
    early = {name: READ[name] for name in ("sha256", "files", "unread_count")}
    assert "2 read" in done("round", "show", ended(store, counts={"documents": early}).id)


def test_run_takes_an_adapter_to_start_from(store: Store, executor: type[Executor]) -> None:
    say(store)
    assert "No adapter 'adp_none'" in fault("round", "run", "--from", "adp_none")
    assert executor.started == []


def test_compare_shows_the_checkpoints_side_by_side(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (
        tradeoff.Compared(None, 0.0, 90.0, 0.5),
        tradeoff.Compared("adp_half", 0.5, 12.345, 0.5, 0.0, 0.75, 0.25),
    )
    found = tradeoff.Comparison("rnd_1", rows, ("A note.",))
    asked: list[Any] = []

    def compare(*given: Any, **named: Any) -> tradeoff.Comparison:
        asked.append((given[3], named["trial_steps"], named["most_items"]))
        named["report"](0.5, "half")
        return found

    monkeypatch.setattr(tradeoff, "compare", compare)
    told = done("round", "compare", "rnd_1", "--steps", "7", "--items", "9")
    assert asked == [("rnd_1", 7, 9)]
    assert "12.35" in told or "12.34" in told
    assert "before" in told and "75.0%" in told and "A note." in told and "–" in told
    assert document("round", "compare", "rnd_1")["data"][1]["tuned_protected"] == 0.25


def test_compare_wants_a_document_round(store: Store) -> None:
    assert "`heed round list`" in fault("round", "compare", "rnd_none")
    made: Round = ended(store)
    assert "`heed pretrain` makes them" in fault("round", "compare", made.id)


@pytest.mark.parametrize(("counted", "shown"), [(True, "1/2"), (False, "50%")])
def test_a_bar_says_how_far_it_is_on_a_terminal_and_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, counted: bool, shown: str
) -> None:
    def drawn(*, terminal: bool, quiet: bool = False) -> str:
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=80)
        monkeypatch.setattr(output, "screen", lambda *, err: console)
        with output.bar("reading", counted=counted, quiet=quiet) as report:
            report(1, 2, "[bold]a.txt")
        return file.getvalue()

    told = drawn(terminal=True)
    assert all(part in told for part in ("reading", shown, "[bold]a.txt"))
    assert drawn(terminal=False).strip() == ""
    assert "reading" not in drawn(terminal=True, quiet=True)
