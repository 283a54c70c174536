"""What a round learns from, frozen."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Invalid
from trainer import snapshot
from trainer.examples import Example, Message

EXAMPLES = [
    Example(
        kind="demonstration",
        messages=(Message(role="user", content="Ünïcode \u2028 and\nlines\x0b?"),),
        target="Yes \u0085 indeed.",
        feedback_ids=("fbk_1", "fbk_2"),
        cluster="per_1",
    ),
    Example(
        kind="preference",
        messages=(Message(role="user", content="Which?"),),
        target="This.",
        rejected="That.",
        weight=0.1 + 0.2,
        source="past",
    ),
    Example(kind="verdict", messages=(), target="", liked=False, source="general"),
]


def test_what_is_frozen_is_read_again(tmp_path: Path) -> None:
    frozen = snapshot.freeze(tmp_path / "deep" / "folder", EXAMPLES)
    assert snapshot.read(frozen) == EXAMPLES
    assert snapshot.read(snapshot.freeze(tmp_path / "empty", [])) == []


def test_the_same_examples_have_the_same_digest_in_the_same_order_alone(tmp_path: Path) -> None:
    first = snapshot.freeze(tmp_path / "a", EXAMPLES)
    again = snapshot.freeze(tmp_path / "b", EXAMPLES, about={"round": "rnd_1"})
    turned = snapshot.freeze(tmp_path / "c", EXAMPLES[::-1])
    assert first.sha256 == again.sha256 != turned.sha256


def test_freezing_again_replaces_what_an_earlier_attempt_left(tmp_path: Path) -> None:
    snapshot.freeze(tmp_path, EXAMPLES)
    again = snapshot.freeze(tmp_path, EXAMPLES[:1])
    assert snapshot.read(again) == EXAMPLES[:1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "rows.jsonl"]


def test_the_manifest_names_where_each_row_came_from(tmp_path: Path) -> None:
    frozen = snapshot.freeze(tmp_path, EXAMPLES, about={"round": "rnd_1"})
    manifest = json.loads((tmp_path / snapshot.MANIFEST).read_text())
    assert manifest["round"] == "rnd_1"
    assert manifest["sha256"] == frozen.sha256
    assert [row["feedback"] for row in manifest["rows"]] == [["fbk_1", "fbk_2"], [], []]
    assert len({row["sha256"] for row in manifest["rows"]}) == 3
    assert manifest["counts"] == {
        "new demonstration": 1,
        "past preference": 1,
        "general verdict": 1,
    }


def test_refuses_rows_that_were_changed_or_are_gone(tmp_path: Path) -> None:
    frozen = snapshot.freeze(tmp_path, EXAMPLES)
    rows = tmp_path / snapshot.ROWS
    content = rows.read_bytes()
    for changed in (content[:-1], content.replace(b"This.", b"That."), content + b"\n", b""):
        rows.write_bytes(changed)
        with pytest.raises(Invalid):
            snapshot.read(frozen)
    rows.unlink()
    with pytest.raises(Invalid):
        snapshot.read(frozen)
    rows.write_bytes(content)
    with pytest.raises(Invalid):
        snapshot.read(replace(frozen, sha256="0" * 64))
    assert snapshot.read(frozen) == EXAMPLES


def _first(row: dict[str, Any]) -> bool:
    return "fbk_1" in row["feedback_ids"]


def test_a_forgotten_row_becomes_a_tombstone_and_the_rest_can_be_checked(tmp_path: Path) -> None:
    snapshot.freeze(tmp_path, EXAMPLES)
    assert snapshot.count(tmp_path, _first) == 1
    assert snapshot.forget(tmp_path, _first) == 1
    assert snapshot.lineage(tmp_path) == snapshot.Lineage(rows=2, forgotten=1)
    assert "Yes" not in (tmp_path / snapshot.ROWS).read_text()
    assert snapshot.forget(tmp_path, _first) == 0
    assert snapshot.lineage(tmp_path) == snapshot.Lineage(rows=2, forgotten=1)


def test_forgetting_that_was_cut_off_between_the_files_is_completed(tmp_path: Path) -> None:
    snapshot.freeze(tmp_path, EXAMPLES)
    manifest = (tmp_path / snapshot.MANIFEST).read_text()
    snapshot.forget(tmp_path, _first)
    (tmp_path / snapshot.MANIFEST).write_text(manifest)
    (tmp_path / "rows.part").write_text("what was there")
    snapshot.forget(tmp_path, _first)
    assert snapshot.lineage(tmp_path) == snapshot.Lineage(rows=2, forgotten=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "rows.jsonl"]


def test_a_row_that_was_changed_or_a_tombstone_that_was_forged_is_seen(tmp_path: Path) -> None:
    snapshot.freeze(tmp_path, EXAMPLES)
    snapshot.forget(tmp_path, _first)
    rows = tmp_path / snapshot.ROWS
    content = rows.read_text()
    lines = content.splitlines()
    for forged in (
        content.replace("This.", "That."),
        content.replace(lines[1], lines[0]),
        content.replace(lines[0], lines[1]),
    ):
        rows.write_text(forged)
        with pytest.raises(Invalid, match="Row"):
            snapshot.lineage(tmp_path)
