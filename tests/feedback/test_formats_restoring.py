"""Heed's own export, put back: the same bytes again, and nothing twice."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from feedback import harvest
from feedback.errors import Invalid
from feedback.formats import exporting, restoring
from feedback.formats.names import Out
from feedback.formats.records import Skipped, Tally
from feedback.formats.restoring import ORPHAN
from feedback.formats.texts import NUL, SURROGATE
from feedback.models import Exchange, Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests.builders import decide, exchange, record, recorded, say, tell, told
from tests.feedback.imports import lines, source

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def export(store: Store) -> str:
    with store.session() as session:
        return "".join(exporting.texts(session, "heed"))


def restore(store: Store, *texts: str | bytes) -> tuple[Tally, list[Skipped]]:
    tally, skipped = Tally(), list[Skipped]()
    restoring.load(store, map(source, texts), tally, skipped.append)
    assert tally.read == tally.imported + tally.duplicates + tally.skipped
    return tally, skipped


@pytest.fixture
def fresh(tmp_path: Path) -> Any:
    """Makes empty stores."""
    made: list[Store] = []

    def make() -> Store:
        store = Store(FeedbackSettings(data_dir=tmp_path / f"fresh{len(made)}"))
        schema.upgrade(store)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


def said_everything(store: Store) -> None:
    """Every kind of word, receipts in several states, reviews."""
    completion = recorded(store, question="Preis? 漢字 🙂\u2028", conversation_id="c1", turn=2)
    say(store, "ana", completion_id=completion, rating=4, scale=5, comment="é", reasons=["a"])
    say(store, "ben", conversation_id="c1", signal="dwell", value=0.1 + 0.2)
    corrected = say(store, "cem", correction="59")
    other = recorded(store, answer="No.")
    tell(store, told("dan", completion_id=completion, preferred_over=other, event_id="mine"))
    decide(store, corrected, "refuse", reason="no")
    decide(store, corrected, "edit", correction="60")


def test_export_import_export_gives_the_same_bytes(store: Store, fresh: Any) -> None:
    said_everything(store)
    before = export(store)
    target = fresh()
    tally, skipped = restore(target, before)
    assert not skipped
    assert tally.imported == tally.read == before.count("\n") - 1
    assert export(target) == before


def test_an_export_goes_into_both_databases(store: Store, fresh: Any) -> None:
    origin = fresh()
    said_everything(origin)
    before = export(origin)
    restore(store, before)
    assert export(store) == before
    again, _ = restore(store, before)
    assert (again.imported, again.duplicates) == (0, before.count("\n") - 1)
    assert export(store) == before


@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    texts=st.lists(TEXT.filter(str.strip), min_size=1, max_size=3), tags=JSON, at=st.floats(0, 4e9)
)
def test_any_row_comes_back_bit_for_bit(
    store: Store, fresh: Any, texts: list[str], tags: Any, at: float
) -> None:
    made = exchange(question=texts[0], answer=texts[-1], tags={"x": tags}, created_at=at)
    record(store, made)
    for text in texts:
        say(store, text, completion_id=made.id, comment=text, correction=text, created_at=at)
    before = export(store)
    target = fresh()
    restore(target, before)
    assert export(target) == before


def test_what_a_round_works_with_is_free_elsewhere(store: Store, fresh: Any) -> None:
    say(store)
    with store.session(write=True) as session:
        assert harvest.claim(session, store.settings, "rnd_here") == 1
        session.commit()
    target = fresh()
    restore(target, export(store))
    with target.session() as session:
        assert harvest.available(session) == 1
    with store.session() as session:
        assert session.exec(select(Receipt.round_id)).one() == "rnd_here"


def test_an_import_that_was_killed_goes_on_where_it_was(
    store: Store, fresh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "BATCH_ROWS", 2)
    origin = fresh()
    said_everything(origin)
    before = export(origin)
    half = "".join(before.splitlines(keepends=True)[:6])
    restore(store, half)
    tally, _ = restore(store, before)
    assert (tally.duplicates, tally.imported) == (5, before.count("\n") - 6)
    assert export(store) == before


def test_what_is_on_record_is_left_alone_whatever_became_of_it(store: Store) -> None:
    feedback_id = say(store)
    before = export(store)
    with store.session(write=True) as session:
        found = session.get_one(Receipt, feedback_id)
        found.status = "withdrawn"
        session.add(found)
        session.commit()
    restore(store, before)
    with store.session() as session:
        assert session.get_one(Receipt, feedback_id).status == "withdrawn"


def bent(line: str, **columns: Any) -> str:
    row = json.loads(line)
    for name, value in columns.items():
        part, _, column = name.rpartition("__")
        (row[part] if part else row)[column] = value
    # What Python writes for a number that is too large is no JSON.
    return json.dumps(row).replace("Infinity", "1e999") + "\n"


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"rating": "much"}, "`rating`: Input should be a valid number"),
        ({"colour": "red"}, "`colour`: Extra inputs are not permitted"),
        ({"receipt": None}, "`receipt`: Input should be"),
        ({"receipt__status": "lost"}, "`receipt.status`: Input should be 'waiting'"),
        ({"project_id": "other"}, "of another project"),
        ({"type": "vote"}, "no kind of line that Heed exports"),
        ({"exchange_id": "chatcmpl_gone"}, ORPHAN),
        ({"exchange_id": None}, "about nothing"),
        ({"event_id": "a\x00"}, NUL),
        ({"body": {"comment": "\ud800"}}, SURROGATE),
    ],
)
def test_lines_that_do_not_hold_are_skipped(
    store: Store, columns: dict[str, Any], why: str, fresh: Any
) -> None:
    origin = fresh()
    say(origin)
    *before, last = export(origin).splitlines(keepends=True)
    tally, [skipped] = restore(store, "".join([*before, bent(last, **columns)]))
    assert (tally.imported, tally.feedback, tally.skipped) == (2, 0, 1)
    assert skipped.reason.startswith(why)
    assert skipped.place.line == 4
    with store.session() as session:
        assert session.exec(select(Feedback)).all() == []


def test_the_export_of_a_newer_heed_is_refused(store: Store) -> None:
    with pytest.raises(Invalid, match="version 2 of the format"):
        restore(store, lines({"type": "heed", "version": 2}))


def test_an_id_that_stands_for_something_else_undoes_its_batch(store: Store, fresh: Any) -> None:
    origin = fresh()
    say(origin, correction="59")
    *before, last = export(origin).splitlines(keepends=True)
    row = json.loads(last)
    columns = ("id", "project_id", "decision", "correction", "reason", "reviewer", "created_at")
    judged = dict.fromkeys(columns, "x") | {"created_at": 1.0}
    del judged["project_id"]
    row["reviews"] = [judged, judged]
    with pytest.raises(Invalid, match="Nothing of these lines was taken"):
        restore(store, "".join([*before, json.dumps(row) + "\n"]))
    assert export(store).count("\n") == 1


FEEDBACK_LINES: list[tuple[dict[str, Any], str]] = [
    ({"choice": 99}, restoring.NO_CHOICE),
    ({"choice": -1}, "`choice`: answers are counted from 0"),
    ({"choice": 2**70}, "`choice`: too large a number"),
    ({"told_at": 1e300}, "`told_at`: no time between"),
    ({"told_at": -1e300}, "`told_at`: no time between"),
    ({"told_at": float("inf")}, "`told_at`: "),
    ({"received_at": 10**400}, "`received_at`: "),
    ({"receipt__updated_at": 1e300}, "`receipt.updated_at`: no time between"),
    ({"receipt__weight": 1e999}, "`receipt.weight`: a number in it is too large"),
    ({"rating": 10**400}, "`rating`: "),
    ({"body": {"survey": 7}}, "`body`: `survey` is no object"),
    ({"body": {"reasons": [1]}}, "`body`: `reasons` is no list"),
    ({"body": {"comment": 1}}, "`body`: `comment` is no text"),
    ({"body": {"value": float("inf")}}, "`body`: "),
]
EXCHANGE_LINES: list[tuple[dict[str, Any], str]] = [
    ({"turn": 2**70}, "`turn`: too large a number for the database"),
    ({"prompt_tokens": 2**31}, "`prompt_tokens`: too large a number for the database"),
    ({"completion_tokens": -(2**31) - 1}, "`completion_tokens`: too large a number"),
    ({"created_at": 1e12}, "`created_at`: no time between"),
    ({"seconds": 1e999}, "`seconds`: "),
    ({"messages": [{"role": "user"}]}, "`messages`: message 1 has no text as its `content`"),
    ({"messages": [{"role": "user", "content": None}]}, "`messages`: message 1 has no text"),
    ({"messages": [{"content": "a"}]}, "`messages`: message 1 has no `role`"),
    ({"messages": [{"role": ["user"], "content": "a"}]}, "`messages`: message 1 has no `role`"),
    ({"choices": [{"finish_reason": "stop"}]}, "`choices`: answer 1 has no `text`"),
    ({"choices": []}, "`choices`: there is no answer"),
    ({"choices": [{"text": "a", "steps": 3}]}, "`choices`: answer 1 has `steps`"),
    ({"tags": {"deep": [{"in": 1e999}]}}, "`tags`: a number in it is too large"),
]


@pytest.mark.parametrize(("columns", "why"), FEEDBACK_LINES)
def test_feedback_that_no_export_could_show_is_skipped_alone(
    store: Store, columns: dict[str, Any], why: str, fresh: Any
) -> None:
    origin = fresh()
    say(origin)
    say(origin, "ben")
    *before, bad, last = export(origin).splitlines(keepends=True)
    tally, [skipped] = restore(store, "".join([*before, bent(bad, **columns), last]))
    assert skipped.reason.startswith(why)
    assert (tally.feedback, tally.skipped) == (1, 1)
    every_export(store)


@pytest.mark.parametrize(("columns", "why"), EXCHANGE_LINES)
def test_an_exchange_that_no_export_could_show_is_skipped_alone(
    store: Store, columns: dict[str, Any], why: str, fresh: Any
) -> None:
    origin = fresh()
    say(origin)
    recorded(origin)
    header, person, bad, *after = export(origin).splitlines(keepends=True)
    text = "".join([header, person, bent(bad, **columns), *after])
    tally, [skipped, orphan] = restore(store, text)
    assert skipped.reason.startswith(why)
    assert orphan.reason == ORPHAN
    assert (tally.exchanges, tally.feedback) == (1, 0)
    every_export(store)


def every_export(store: Store) -> dict[tuple[str, str], str]:
    """What every format and type makes of the store."""
    formats: list[Out] = ["heed", "csv", "sharegpt", "openai", "trl"]
    with store.session() as session:
        return {
            (name, kind): "".join(
                exporting.texts(session, name, kind=kind or None, unreviewed=True)
            )
            for name in formats
            for kind in exporting.KINDS.get(name, ("",))
        }


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (Exchange, {"messages": [{"role": "user"}]}),
        (Exchange, {"messages": [{"content": "a"}]}),
        (Exchange, {"messages": [{"role": "robot", "content": "a"}]}),
        (Exchange, {"choices": [{"finish_reason": "stop"}]}),
        (Exchange, {"choices": [{"text": "a", "steps": 3}]}),
        (Exchange, {"choices": []}),
        (Feedback, {"choice": 99}),
        (Feedback, {"told_at": 1e300}),
        (Feedback, {"told_at": -1e300}),
        (Feedback, {"body": {"rating": "up", "survey": 7}}),
        (Feedback, {"body": {"rating": "up", "reasons": [7]}}),
    ],
)
def test_every_export_survives_a_row_that_an_older_import_let_in(
    store: Store, table: Any, columns: dict[str, Any]
) -> None:
    bad = say(store, "ana", rating="up")
    say(store, "ben", completion_id=recorded(store, question="And the desk?"))
    with store.session(write=True) as session:
        row = session.get_one(Feedback, bad)
        found = row if table is Feedback else session.get_one(Exchange, row.exchange_id)
        for name, value in columns.items():
            setattr(found, name, value)
        session.add(found)
        session.commit()
    made = every_export(store)
    assert made["csv", ""].count("\r\n") == 3
    kept = 2 if "told_at" in columns else 1
    assert made["trl", "unpaired-preference"].count("\n") == kept
    assert made["trl", "prompt-only"].count("\n") == kept
