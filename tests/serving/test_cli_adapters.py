"""`heed adapters`: the registry from the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.store import Store
from serving.models import AuditEntry
from tests.serving.command_line import (
    COUNTS,
    REPORT,
    adapter,
    damage,
    document,
    done,
    ended,
    fault,
    heed,
    store_at,
)
from trainer import registry


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def test_promote_and_rollback_move_along_the_line_of_descent(store: Store) -> None:
    parent = adapter(store)
    child = adapter(store, parent=parent.id)
    assert document("adapters", "promote", parent.id)["live"] == parent.id
    promoted = document("adapters", "promote", child.id, "--reason", "it is better")
    assert (promoted["live"], promoted["generation"]) == (child.id, 2)
    assert promoted["reason"] == "it is better"
    assert document("adapters", "promote", child.id) == promoted
    assert document("adapters", "rollback")["live"] == parent.id
    assert document("adapters", "rollback")["live"] == "base"
    assert "nothing to roll back to" in fault("adapters", "rollback")
    with store.session() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry))]
    assert actions.count("adapter.promote") == 3
    assert actions.count("adapter.rollback") == 2


def test_a_canary_answers_a_share_of_people_first(store: Store) -> None:
    made = adapter(store)
    deployed = document("adapters", "promote", made.id, "--canary-share", "0.1")
    assert (deployed["live"], deployed["canary"], deployed["canary_share"]) == (
        "base",
        made.id,
        0.1,
    )
    assert "canary for 10% of people" in done("adapters", "list")
    assert heed("adapters", "promote", made.id, "--canary-share", "1.5").exit_code == 2


def test_refuses_to_promote_an_adapter_whose_files_were_changed(store: Store) -> None:
    made = adapter(store)
    damage(store, made)
    assert "differs from its digest" in fault("adapters", "promote", made.id)
    with store.session() as session:
        assert registry.live(session) is None


def test_list_and_show_tell_where_an_adapter_comes_from(store: Store) -> None:
    parent = adapter(store)
    child = adapter(store, parent=parent.id)
    listed = document("adapters", "list")
    assert {row["id"] for row in listed["data"]} == {parent.id, child.id}
    assert listed["deployment"]["live"] == "base"
    shown = document("adapters", "show", child.id)
    assert (shown["parent"], shown["lineage"]) == (parent.id, [parent.id])
    assert child.id in done("adapters", "list")  # whole, also where the table is narrow
    assert f"{parent.id} < base" in done("adapters", "show", child.id)
    assert "No adapter 'adp_none'" in fault("adapters", "show", "adp_none")


def test_verify_names_what_is_damaged_and_fails(store: Store) -> None:
    sound, damaged = adapter(store), adapter(store)
    damage(store, damaged)
    assert document("adapters", "verify", sound.id)["data"][0]["ok"]
    result = heed("adapters", "verify")
    assert result.exit_code == 1
    assert "differs from its digest" in result.stdout
    assert heed("adapters", "verify", sound.id, damaged.id, "--json").exit_code == 1


def test_export_writes_a_plain_folder_with_a_card(store: Store, tmp_path: Path) -> None:
    made = adapter(store, made_by=ended(store, report=REPORT, counts=COUNTS))
    exported = document("adapters", "export", made.id, str(tmp_path / "out"))
    assert exported["files"] == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == made.id.encode()
    assert "The gate said: promote." in (tmp_path / "out" / "README.md").read_text()
    assert "not an empty folder" in fault("adapters", "export", made.id, str(tmp_path / "out"))
