"""Exported adapters: whole folders, verified, with a card that quotes nobody."""

from pathlib import Path

import pytest

from feedback.errors import Conflict, Invalid
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests.serving.command_line import COUNTS, REPORT, adapter, damage, ended
from trainer.export import export, model_card
from trainer.models import Adapter, Round


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(FeedbackSettings(data_dir=tmp_path / "data"))
    schema.upgrade(store)
    return store


def judged(store: Store) -> tuple[Adapter, Round]:
    row = ended(store, report=REPORT, counts=COUNTS, snapshot_sha256="5" * 64)
    return adapter(store, made_by=row), row


def test_the_card_tells_origin_data_judgement_and_losses(store: Store) -> None:
    made, row = judged(store)
    card = model_card(made, row)
    assert card.startswith("---\nbase_model: owner/bare\nlibrary_name: peft\n")
    for told in (
        made.id,
        made.digest,
        "b" * 64,
        row.id,
        "the base model",
        "| Pieces of feedback that the round gathered | 12 |",
        "| Training examples: new demonstration | 9 |",
        "The gate said: promote.",
        "- New corrections: it gained 9 of 10.",
        "| new corrections | superiority | holds | 90 points | [61.5, ∞] | 0 points | 10 | 0 | 9 |",
        "| `rank` | 32 |",
        'from_pretrained("owner/bare")',
    ):
        assert told in card


def test_the_card_says_where_an_adapter_started_afresh(store: Store) -> None:
    made, row = judged(store)
    assert "fresh adapter" not in model_card(made, row)
    row.counts = {**row.counts, "rebased": "the gate refused 2 rounds in a row"}
    assert "a fresh adapter, since the gate refused 2 rounds" in model_card(made, row)


def test_the_card_quotes_protected_items_and_nobody_else(store: Store) -> None:
    card = model_card(*judged(store))
    assert "prompt protected \\| with a bar" in card
    assert "1 of suite past" in card
    for quoted in ("prompt past", "before past", "now past", "expected past"):
        assert quoted not in card


def test_the_card_names_no_folder_of_this_machine(store: Store, tmp_path: Path) -> None:
    made, row = judged(store)
    made.base_model = str(tmp_path / "models" / "ours")
    row.plan = {**row.plan, "base_model": made.base_model, "general_file": str(tmp_path / "x")}
    card = model_card(made, row)
    assert str(tmp_path) not in card
    assert "base_model:" not in card
    assert "`PATH` is the folder of ours" in card


def test_an_adapter_without_a_round_has_a_card_too(store: Store) -> None:
    made, _ = judged(store)
    made.round_id = None
    card = model_card(made, None)
    assert "Not on record" in card
    assert "No report is on record" in card


def test_a_report_only_gate_is_named(store: Store) -> None:
    made, row = judged(store)
    row.report = {**REPORT, "enforced": False}
    assert "it decided nothing" in model_card(made, row)


def test_export_is_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    made, row = judged(store)
    target = export(store.settings.data_dir, made, row, tmp_path / "deep" / "out")
    assert sorted(path.name for path in target.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    damage(store, made)
    with pytest.raises(Invalid, match="differs from its digest"):
        export(store.settings.data_dir, made, row, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_export_fills_an_empty_folder_and_no_other(store: Store, tmp_path: Path) -> None:
    made, row = judged(store)
    (tmp_path / "empty").mkdir()
    export(store.settings.data_dir, made, row, tmp_path / "empty")
    for taken in (tmp_path / "empty", tmp_path / "empty" / "README.md"):
        with pytest.raises(Conflict, match="not an empty folder"):
            export(store.settings.data_dir, made, row, taken)
