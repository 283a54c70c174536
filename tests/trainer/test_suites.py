"""Suite files, and what passes."""

import json
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Invalid
from trainer.suite_files import load
from trainer.suites import Check, Item, agrees, passes

LINE: dict[str, Any] = {
    "id": "sky",
    "suite": "world",
    "prompt": "What colour is the sky?",
    "expected": "blue",
    "check": "contains",
}


def write(folder: Path, *rows: object) -> Path:
    path = folder / "suite.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    return path


def item(check: Check, expected: str) -> Item:
    return Item("i", "s", ({"role": "user", "content": "?"},), expected, check)


def test_loads_prompts_and_conversations(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Sky?"},
    ]
    second = {
        "id": "sky2",
        "suite": "world",
        "messages": turns,
        "expected": "blue",
        "check": "exact",
        "cluster": "sky",
        "margin_points": 1,
    }
    first, other = load(write(tmp_path, LINE, second))
    assert first.messages == ({"role": "user", "content": "What colour is the sky?"},)
    assert first.cluster == "sky" and first.margin_points is None and first.protected
    assert other.messages == tuple(turns)
    assert other.cluster == "sky" and other.margin_points == 1.0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"expected": ""}, "expected"),
        ({"expected": None}, "expected"),
        ({"check": "sounds like"}, "check"),
        ({"check": "regex", "expected": "(blue"}, "expected"),
        ({"check": "refused", "expected": "do not know|"}, "expected"),
        ({"margin_points": -1}, "margin_points"),
        ({"margin_points": float("nan")}, "margin_points"),
        ({"margin": 2}, "margin"),
        ({"prompt": None}, "prompt"),
        ({"messages": [{"role": "user", "content": "Sky?"}]}, "prompt"),
        ({"prompt": None, "messages": []}, "messages"),
        ({"prompt": None, "messages": [{"role": "assistant", "content": "Hi"}]}, "messages"),
        ({"prompt": None, "messages": [{"role": "tool", "content": "Hi"}]}, "messages.0.role"),
        ({"id": 7}, "id"),
    ],
)
def test_a_faulty_line_is_named_with_its_field(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    path = write(tmp_path, LINE, {**LINE, "id": "other", **change})
    with pytest.raises(Invalid) as refusal:
        load(path)
    assert f"{path}, line 2, `{field}`" in refusal.value.message
    assert refusal.value.param == field


def test_a_line_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.jsonl"
    path.write_text("{'id': 1}\n")
    with pytest.raises(Invalid, match="line 1 is no JSON"):
        load(path)
    with pytest.raises(Invalid, match="line 1, `line`"):
        load(write(tmp_path, [1]))


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="line 2: id 'sky' stands on line 1"):
        load(write(tmp_path, LINE, LINE))


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="holds no item"):
        load(write(tmp_path))
    with pytest.raises(Invalid, match="cannot be read"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(Invalid, match="UTF-8"):
        load(tmp_path / "latin")


@pytest.mark.parametrize(
    ("expected", "answer", "right"),
    [
        ("9 dollars", "It costs 9 dollars.", True),
        ("9 dollars", "It costs 59 dollars.", False),
        ("9 dollars", "It costs 1.9 dollars.", False),
        ("9 dollars", "It costs 1,009 dollars.", False),
        ("1 year", "11 years", False),
        ("1 year", "1 years", False),
        ("1 year", "It lasts 1  YEAR, as said.", True),
        ("59", "59.5 dollars", False),
        ("59", "That is 59.", True),
        ("C++", "We use C++ here", True),
        ("don't", "I DON’T", True),
        ("a.b", "aXb", False),
    ],
)
def test_contains_means_whole_words(expected: str, answer: str, right: bool) -> None:
    assert passes(item("contains", expected), answer) is right


def test_refused_takes_any_of_its_phrases() -> None:
    unknown = item("refused", "do not know | no idea")
    assert passes(unknown, "Sorry, I do not know that.")
    assert passes(unknown, "No idea!")
    assert not passes(unknown, "It costs 5 dollars.")


def test_regex_is_found_as_written() -> None:
    assert passes(item("regex", r"\b[5-9]\d dollars"), "about 59 dollars")
    assert not passes(item("regex", "Blue"), "blue")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The lamp costs 59 dollars.", True),
        ("  the LAMP costs\n59 dollars!", True),
        ("The lamp costs 59 dollars", True),
        ("The lamp costs 49 dollars.", False),
        ("The lamp costs 59 dollars. And more.", False),
        ("", False),
    ],
)
def test_answers_agree_but_for_case_spacing_and_final_punctuation(answer: str, right: bool) -> None:
    assert agrees(answer, "The lamp costs 59 dollars.") is right
    for check in ("exact", "label"):
        assert passes(item(check, "The lamp costs 59 dollars."), answer) is right


def test_silence_does_not_agree_with_a_question_mark() -> None:
    assert not agrees("", "?")
