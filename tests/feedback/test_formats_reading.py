"""Rows out of JSON texts: every way of writing them, any cut, and whatever may be wrong with them."""

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.errors import Invalid
from feedback.formats import json_rows
from feedback.formats.json_rows import Row, rows
from feedback.formats.records import Skipped
from feedback.formats.source import BUFFER_BYTES, Source, expand
from tests.feedback.imports import chunked, lines, source

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


def values(text: str | bytes, **more: Any) -> list[Any]:
    return [row.value for row in rows(source(text), **more) if isinstance(row, Row)]


def skips(text: str | bytes) -> list[tuple[int, str]]:
    return [(row.place.line, row.reason) for row in rows(source(text)) if isinstance(row, Skipped)]


def fault(text: str | bytes, **more: Any) -> str:
    with pytest.raises(Invalid) as caught:
        values(text, **more)
    return caught.value.message


@settings(max_examples=40)
@given(found=st.lists(VALUES, max_size=6), size=st.integers(1, 9), ascii_only=st.booleans())
def test_an_array_is_read_whole_however_it_is_cut(
    found: list[Any], size: int, ascii_only: bool
) -> None:
    text = json.dumps(found, ensure_ascii=ascii_only).encode(errors="replace")
    read = list(rows(chunked(text, size)))
    assert [row.value for row in read if isinstance(row, Row)] == json.loads(text)
    assert [row.place.line for row in read] == list(range(1, len(found) + 1))


@settings(max_examples=40)
@given(found=st.lists(OBJECTS, max_size=6), size=st.integers(1, 9))
def test_lines_and_documents_hold_the_same_rows(found: list[Any], size: int) -> None:
    by_line = lines(*found).encode()
    assert [row.value for row in rows(chunked(by_line, size)) if isinstance(row, Row)] == found
    pretty = "\n".join(json.dumps(row, indent=2) for row in found if row).encode()
    assert [row.value for row in rows(chunked(pretty, 7)) if isinstance(row, Row)] == [
        row for row in found if row
    ]


def test_rows_lie_in_named_arrays_of_an_outer_object() -> None:
    text = json.dumps({"meta": 1, "data": [{"a": 1}, {"a": 2}], "more": {"x": [3]}, "runs": [4]})
    arrays = frozenset({"data", "runs"})
    assert values(text, arrays=arrays) == [{"a": 1}, {"a": 2}, 4]
    assert values(f"{text}\n{text}", arrays=arrays) == [{"a": 1}, {"a": 2}, 4] * 2
    assert values(text) == [json.loads(text)]  # to whom `data` means nothing


def test_blank_lines_count_as_lines_and_not_as_rows() -> None:
    read = list(rows(source('{"a": 1}\n\n  \n{"a": 2}')))
    assert [row.place.line for row in read] == [1, 4]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a": }', "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "x\x00"}', "not JSON"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
    ],
)
def test_a_bad_line_is_skipped_alone_with_its_number(line: bytes, why: str) -> None:
    text = b'{"a": 1}\n' + line + b'\n{"a": 2}\n'
    assert skips(text) == [(2, why)]
    assert values(text) == [{"a": 1}, {"a": 2}]


def test_a_line_that_the_file_ends_within_says_so() -> None:
    [row] = [row for row in rows(source('{"a": 1}\n{"a": "tru')) if isinstance(row, Skipped)]
    assert "the file ends within this line" in row.detail
    [row] = [row for row in rows(source('{"a": 1}\n{bad}')) if isinstance(row, Skipped)]
    assert "ends" not in row.detail  # it is wrong however it would go on


LONG = json.dumps({"a": [1.5e-9, True, None, {"b": '\u00e9"', "c": -12}], "d": "x" * 90})


@pytest.mark.parametrize("at", range(len(LONG)))
def test_wherever_a_text_is_cut_it_is_said_to_end_there(at: int) -> None:
    why = fault(f'[{{"a": 1}}, {LONG[:at]}')
    assert "file.json ends within item 2" in why or "file.json ends too early" in why
    if at:
        [row] = rows(source(LONG[:at]))
        assert isinstance(row, Skipped)
        assert "the file ends within this line" in row.detail


def test_a_line_too_large_is_passed_over_without_being_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json_rows, "MOST_BYTES", 1000)
    text = lines({"a": 1}, {"a": "x" * 3 * BUFFER_BYTES}, {"a": 2})
    assert skips(text) == [(2, json_rows.TOO_LARGE)]
    assert values(text) == [{"a": 1}, {"a": 2}]
    assert "near" in fault(json.dumps([{"a": "x" * 3 * BUFFER_BYTES}]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'[{"a": 1}, {"a": 2', "ends within item 2"),
        (b'[{"a": 1}, {"a": 2}', "ends too early: `]` is missing"),
        (b"[", "ends too early"),
        (b'[{"a": 1} {"a": 2}' + b" " * 99 + b"]", "Item 1 of file.json is no JSON"),
        (b'[{"a": 1}, {"a" 2}' + b" " * 99 + b"]", "Item 2 of file.json is no JSON"),
        (b'[{"a": 1}, {"a": 2}, {bad}]', "Item 3 of file.json is no JSON"),
        (b'[{"a": 1}, {"a": 2}, {"a": trap}]', "Item 3 of file.json is no JSON"),
        (b'[{"a": 1}] {"a": 2}', "goes on after its end"),
        (b'[{"a": "\xff"}]', "not UTF-8"),
        (b'[{"a": "\xe4', "not UTF-8"),
        (b'[{"a": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_array_says_where_after_giving_what_came_before(text: bytes, why: str) -> None:
    read = []
    with pytest.raises(Invalid) as caught:
        for row in rows(source(text)):
            read.append(row.value if isinstance(row, Row) else None)
    assert why in caught.value.message
    assert read == [{"a": 1}, {"a": 2}][: len(read)]


def test_nan_is_no_value_and_half_a_surrogate_pair_is_not_replaced() -> None:
    assert values('{"a": NaN}\n') == [{"a": None}]
    assert values('[{"a": Infinity}]') == [{"a": None}]
    assert values('["\\ud800"]') == ["\ud800"]  # so that whoever keeps texts can refuse it


def test_a_mark_of_utf_8_is_dropped_and_other_encodings_are_named() -> None:
    assert values(b'\xef\xbb\xbf{"a": 1}\n') == [{"a": 1}]
    assert values(b"\xef\xbb\xbf[1, 2]") == [1, 2]
    assert "UTF-16" in fault("[1]".encode("utf-16"))
    assert "UTF-32" in fault("[1]".encode("utf-32"))


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"PAR1", "Parquet"), (b"SQLite format 3\0", "SQLite"), (b"PK\x03\x04", "zip")],
)
def test_other_kinds_of_files_are_named(head: bytes, kind: str) -> None:
    assert kind in fault(head + b"rest")


def test_a_name_that_ends_in_gz_is_unpacked() -> None:
    packed = gzip.compress(b'{"a": 1}\n{"a": 2}\n' + b" " * 10_000)

    def found(data: bytes) -> list[Any]:
        return [
            row.value
            for row in rows(Source("x.jsonl.gz", io.BytesIO(data)))
            if isinstance(row, Row)
        ]

    assert found(packed) == [{"a": 1}, {"a": 2}]
    with pytest.raises(Invalid, match="middle of its compressed data"):
        found(packed[:-12])
    with pytest.raises(Invalid, match="not what gzip writes"):
        found(b"[1]")
    with pytest.raises(Invalid, match="ends in"):
        values(packed)


def test_bytes_are_counted_as_they_are_read() -> None:
    counted: list[int] = []
    text = lines(*({"a": number} for number in range(100))).encode()
    list(rows(Source("file", io.BytesIO(text), counted.append)))
    assert sum(counted) == len(text)


def test_a_folder_stands_for_its_files_in_order(tmp_path: Any) -> None:
    for name in ("b/2.jsonl", "a/1.jsonl", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert expand([str(tmp_path)]) == [str(tmp_path / "a/1.jsonl"), str(tmp_path / "b/2.jsonl")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match="holds no file"):
        expand([str(tmp_path / "empty")])
    with pytest.raises(Invalid, match="once only"):
        expand(["-", "-"])
