"""`heed round pairs` and `heed round judge`: blind comparisons in a terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feedback.store import Store
from serving.cli import app
from tests import compared
from tests.serving.command_line import document, done, fault, store_at
from trainer import pairs
from trainer.models import Round

PAIRS = [compared.pair(number) for number in range(12)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def judge(round_id: str, keys: str, *options: str) -> str:
    result = CliRunner().invoke(app, ["round", "judge", round_id, *options], input=keys)
    assert result.exit_code == 0, result.output
    return result.stdout


def keys(store: Store, row: Round, wish: str, reviewer: str = "cli") -> str:
    """What somebody types who prefers one model's answers, pair after pair."""
    rows = compared.kept(store, row.id)
    order = sorted(rows, key=lambda each: pairs.turn(each.secret, reviewer))
    return "".join(compared.side(each, reviewer, wish)[0] for each in order)


def test_a_round_is_judged_with_single_keys_and_promoted(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_needed=12)
    said = judge(row.id, f"{keys(store, row, 'candidate')}y\n")
    assert "12 left for you." in said and "left" in said and "right" in said
    assert "nothing left for you" in said and "12 of 12 pairs have a verdict" in said
    assert compared.of(store, row.id).state == "promoted"
    assert "12 prefer the candidate" in said
    told = done("round", "show", row.id)
    assert "12 for the candidate" in told and "was promoted" in told
    shown = document("round", "pairs", row.id)
    assert {each["verdicts"][0]["prefers"] for each in shown["data"]} == {"candidate"}


def test_until_then_nothing_says_whose_answer_is_whose(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    said = judge(row.id, "ltuq")
    assert "Taken back" in said and "3 more are needed" in said and "1 of 12" in said
    for text in (said, done("round", "pairs", row.id)):
        assert "candidate" not in text and "incumbent" not in text
    shown = document("round", "pairs", row.id)
    assert set(shown["data"][0]) >= {"left", "right"} and "candidate" not in shown["data"][0]
    assert sorted(filter(None, (each["verdict"] for each in shown["data"]))) == ["left"]


def test_several_people_judge_on_one_machine(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    judge(row.id, "tq", "--as", "rita")
    judge(row.id, "bq", "--as", "sven")
    shown = document("round", "pairs", row.id, "--as", "rita")
    assert [each["verdict"] for each in shown["data"] if each["verdict"]] == ["tie"]


def test_who_looks_first_judges_no_more(store: Store) -> None:
    row = compared.judged(store, PAIRS)
    assert "candidate" in document("round", "pairs", row.id, "--reveal")["data"][0]
    assert "somebody else judges" in fault("round", "judge", row.id)
    assert "left for you" in judge(row.id, "q", "--as", "rita")


def test_an_end_without_confirmation_counts_nothing(store: Store) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_needed=1)
    assert "Count them now?" in judge(row.id, "tq" + "n\n")
    assert compared.of(store, row.id).state == "pending"


def test_a_round_without_pairs_says_so(store: Store) -> None:
    row = compared.judged(store, [])
    assert "kept no pairs" in done("round", "pairs", row.id)
    assert "nothing left for you" in judge(row.id, "")
    assert "No round" in fault("round", "pairs", "rnd_none")
