"""Sheets that no spreadsheet computes, and that give every text back."""

import csv
import io

from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedback.formats import exporting, spreadsheet
from feedback.formats.spreadsheet import GUARD, guarded, line, unguarded
from feedback.store import Store
from tests.builders import QUESTION, receipt_of, recorded, say

RISKY = ("=", "+", "-", "@", "\t", "\r", "\0")
"""OWASP ASVS 1.2.10."""
CELLS = st.text(st.characters(exclude_categories=["Cs"])) | st.builds(
    str.__add__,
    st.sampled_from([*RISKY, GUARD, '"', ",", ";", "\n"]),
    st.text("=+a'\t,\"\n", max_size=5),
)


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@settings(max_examples=100)
@given(texts=st.lists(CELLS, min_size=1, max_size=6))
@example(texts=["=1+1", "'=1+1", "''", "\0", "\r\n", "@a", "-1"])
def test_every_text_comes_back_and_none_begins_like_a_formula(texts: list[str]) -> None:
    [row] = cells(line(texts))
    assert [unguarded(cell) for cell in row] == texts
    assert not any(cell.startswith(RISKY) for cell in row)
    assert line(texts).startswith('"')  # quoted, or another separator would begin a cell within


def test_a_harmless_text_stays_as_it_is() -> None:
    assert guarded("It costs =59") == "It costs =59"


def test_a_sheet_holds_every_word_and_what_became_of_it(store: Store) -> None:
    completion = recorded(store, answer='=HYPERLINK("http://x")', conversation_id="c")
    first = say(store, completion_id=completion, rating="up", comment="+1", reasons=["a", "b"])
    second = say(store, "ben", correction="-59", created_at=1_700_000_000.0)
    third = say(store, "cem", conversation_id="c", signal="dwell", value=2.5)
    with store.session() as session:
        text = "".join(exporting.texts(session, "csv"))
    assert text.startswith(spreadsheet.MARK)
    header, *rows = cells(text.removeprefix(spreadsheet.MARK))
    assert tuple(header) == spreadsheet.COLUMNS
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["feedback_id"] for row in found] == [first, second, third]
    assert found[0]["answer"] == '\'=HYPERLINK("http://x")'
    assert (found[0]["comment"], found[0]["reasons"], found[0]["question"]) == (
        "'+1",
        "a; b",
        QUESTION,
    )
    assert (found[1]["correction"], found[1]["status"]) == ("'-59", "review")
    assert found[1]["told_at"] == "2023-11-14T22:13:20+00:00"
    assert found[1]["reason"] == receipt_of(store, second).reason
    assert (found[2]["signal"], found[2]["value"], found[2]["completion_id"]) == (
        "dwell",
        "2.5",
        "",
    )
