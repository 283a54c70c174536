"""Suites that people add: kept whole, asked in every round, removed by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from feedback.errors import Conflict, Invalid, NotFound
from feedback.store import Store
from tests.builders import plan
from trainer import guarded, suite_files
from trainer.examples import Message
from trainer.suites import Item, passes

ASKED = (Message(role="user", content="A?"),)
SHAPES: dict[str, Any] = {
    "suite": "shapes",
    "items": [
        {"prompt": "Sky?", "expected": "blue", "check": "contains"},
        {"prompt": "Say blue.", "expected": "Blue.", "check": "exact"},
        {"prompt": "A number?", "expected": r"^\d+$", "check": "regex"},
        {"prompt": "The moon?", "expected": "don't know|no idea", "check": "refused"},
        {
            "prompt": "As JSON?",
            "expected": {"type": "object", "required": ["price"]},
            "check": "json_schema",
        },
        {
            "prompt": "Say it in your words.",
            "expected": "the lamp costs 59 dollars",
            "check": "token_f1",
            "threshold": 0.6,
        },
    ],
}


def written(folder: Path, content: object, name: str = "shapes.yaml") -> Path:
    path = folder / name
    text = yaml.safe_dump(content) if path.suffix == ".yaml" else str(content)
    path.write_text(text, encoding="utf-8")
    return path


def added(store: Store, items: list[Item], name: str | None = None) -> None:
    with store.session(write=True) as session:
        guarded.add(session, items, name=name)
        session.commit()


@pytest.mark.parametrize(
    ("at", "right", "wrong"),
    [
        (0, "It is BLUE.", "It is bluegreen."),
        (1, "blue", "It is blue."),
        (2, "42", "42 dollars"),
        (3, "I have no idea.", "It is round."),
        (4, '```json\n{"price": 59}\n```', '{"cost": 59}'),
        (4, '{"price": 59}', "price: 59"),
        (5, "The lamp costs just 59 dollars.", "I cannot say."),
    ],
)
def test_every_check_of_a_yaml_suite_tells_right_from_wrong(
    tmp_path: Path, at: int, right: str, wrong: str
) -> None:
    items = suite_files.load(written(tmp_path, SHAPES))
    assert passes(items[at], right)
    assert not passes(items[at], wrong)


def test_what_is_said_once_in_yaml_holds_for_all_items(tmp_path: Path) -> None:
    shared = {"suite": "pots", "kind": "honeypot", "check": "contains", "margin_points": 1}
    path = written(tmp_path, {**shared, "items": [{"prompt": "A?", "expected": "a"}] * 2})
    items = suite_files.load(path)
    assert [(item.id, item.suite, item.kind) for item in items] == [
        ("1", "pots", "honeypot"),
        ("2", "pots", "honeypot"),
    ]
    assert {item.margin_points for item in items} == {1.0}
    plain = written(tmp_path, [{"id": "x", "prompt": "A?", "expected": "a", "check": "exact"}])
    assert suite_files.load(plain, suite="named")[0].suite == "named"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"threshold": 0.5}, "threshold"),
        ({"wished": "yes"}, "wished"),
        ({"kind": "sycophancy", "wished": "yes| "}, "wished"),
        ({"kind": "trap"}, "kind"),
        ({"check": "json_schema", "expected": {"type": "nonsense"}}, "expected"),
        ({"check": "json_schema", "expected": {"$ref": "http://x/y"}}, "expected"),
        ({"check": "token_f1", "threshold": 2}, "threshold"),
        ({"prompt": None}, "prompt"),
    ],
)
def test_a_faulty_item_is_named_with_its_field(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    row = {"id": "a", "suite": "s", "prompt": "A?", "expected": "a", "check": "exact", **change}
    row = {name: value for name, value in row.items() if value is not None}
    with pytest.raises(Invalid, match=f"item 1, `{field}`"):
        suite_files.load(written(tmp_path, [row]))


@pytest.mark.parametrize("content", ["a: [", "just text", "{suite: s}", "{suite: s, items: [1]}"])
def test_what_is_no_suite_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "suite.yml"
    path.write_text(content)
    with pytest.raises(Invalid):
        suite_files.load(path)


def test_an_item_survives_its_row(tmp_path: Path) -> None:
    items = suite_files.load(written(tmp_path, SHAPES))
    turns = (Message(role="system", content="Be brief."), *ASKED)
    items.append(
        Item("t", "tone", turns, "yes", "contains", "c", 1.0, True, "sycophancy", None, "no")
    )
    for item in items:
        row = json.loads(json.dumps(suite_files.to_row(item)))
        assert suite_files.from_row(row, "here") == item


def test_an_added_suite_guards_every_round_until_it_is_removed(
    store: Store, tmp_path: Path
) -> None:
    items = suite_files.load(written(tmp_path, SHAPES))
    added(store, items)
    folder = store.settings.data_dir
    with store.session() as session:
        asked = guarded.items(session, plan(base_model="bare"), folder)
        assert asked == items
        (kept, past) = guarded.suites(session, plan(base_model="bare"), folder)
        assert (kept.name, kept.kind, kept.origin) == ("shapes", "protected", "added")
        assert (past.name, past.items) == (guarded.PAST, ())
        beside = guarded.items(session, plan(base_model="starter"), folder)
        assert {item.suite for item in beside} == {
            "shapes",
            "core",
            "conduct",
            "candour",
            "honeypots",
        }
    with store.session(write=True) as session:
        guarded.remove(session, "shapes")
        session.commit()
    with store.session() as session:
        assert guarded.items(session, plan(base_model="bare"), folder) == []
        with pytest.raises(NotFound, match="heed suite list"):
            guarded.get(session, plan(base_model="bare"), folder, "shapes")
    with store.session(write=True) as session, pytest.raises(NotFound, match="not removed here"):
        guarded.remove(session, "core")


def test_a_suite_is_added_whole_or_not_at_all(store: Store) -> None:
    one = Item("1", "one", ASKED, "a", "contains")
    added(store, [one])
    other = Item("1", "two", ASKED, "a", "contains")
    with pytest.raises(Conflict, match="'one' already"):
        added(store, [other, one])
    with store.session() as session:
        found = guarded.suites(session, plan(base_model="bare"), store.settings.data_dir)
    assert [kept.name for kept in found] == ["one", guarded.PAST]


@pytest.mark.parametrize("name", ["", " ", guarded.PAST, "new corrections", "x" * 300])
def test_a_suite_needs_a_name_of_its_own(store: Store, name: str) -> None:
    with pytest.raises(Invalid, match="choose another name"):
        added(store, [Item("1", "s", ASKED, "a", "contains")], name)


def test_a_suite_is_of_one_kind_and_has_every_id_once(store: Store) -> None:
    items = [Item("1", "s", ASKED, "a", "contains")]
    with pytest.raises(Invalid, match="of one kind"):
        added(store, [*items, Item("2", "s", ASKED, "a", "contains", kind="honeypot")])
    with pytest.raises(Invalid, match="two items '1'"):
        added(store, [*items, Item("1", "t", ASKED, "a", "contains")], "together")


def test_todays_protected_file_keeps_working(store: Store, tmp_path: Path) -> None:
    line = {"id": "a", "suite": "own", "prompt": "A?", "expected": "a", "check": "exact"}
    path = written(tmp_path, json.dumps(line), "own.jsonl")
    with store.session() as session:
        folder = store.settings.data_dir
        (kept, _) = guarded.suites(session, plan(protected_file=str(path)), folder)
        assert (kept.name, kept.origin) == ("own", "file")
        (folder / "suites").mkdir()
        (folder / guarded.SUITE).write_text(path.read_text())
        (again, _) = guarded.suites(session, plan(base_model="starter"), folder)
        assert again == kept


def test_a_protected_file_that_was_changed_is_read_anew(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path, SHAPES)
    guards = plan(protected_file=str(path))
    with store.session() as session:
        before = guarded.items(session, guards, tmp_path)
        again = guarded.items(session, guards, tmp_path)
        written(tmp_path, {**SHAPES, "items": SHAPES["items"][:2]})
        after = guarded.items(session, guards, tmp_path)
        path.unlink()
        with pytest.raises(Invalid, match="cannot be read"):
            guarded.items(session, guards, tmp_path)
    assert (before, len(before)) == (again, len(SHAPES["items"]))
    assert after == before[:2]
