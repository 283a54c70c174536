"""Imports into the store: each row once, however often and whatever breaks in between."""

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import select

from feedback import intake
from feedback.errors import Invalid, Unavailable
from feedback.formats import catalogue, importing
from feedback.formats.importing import UNKNOWN, Voices
from feedback.formats.records import Tally
from feedback.formats.texts import NUL, SURROGATE
from feedback.models import Exchange, Feedback, Person
from feedback.store import Store
from tests.builders import recorded
from tests.feedback.imports import KEY, exchanges, lines, source, stored, take


def verdict(number: int, **columns: Any) -> dict[str, Any]:
    """A row of a training file."""
    return {"prompt": f"Question {number}?", "completion": f"Answer {number}.", **columns}


def score(number: int, **columns: Any) -> dict[str, Any]:
    """A score of Langfuse's with the time and the person it has."""
    plain = {"id": f"s{number}", "name": "user-feedback", "value": 1, "traceId": f"t{number}"}
    person = {"authorUserId": "ana", "timestamp": "2026-01-31T09:00:00Z", "dataType": "NUMERIC"}
    return {**plain, **person, **columns}


def trace(number: int, **columns: Any) -> dict[str, Any]:
    """The trace it is about."""
    said = {"input": f"Question {number}?", "output": f"Answer {number}."}
    return {"id": f"t{number}", "projectId": "p", "timestamp": 1_700_000_000, **said, **columns}


def rows_of(store: Store) -> tuple[list[str], list[str]]:
    with store.session() as session:
        events = session.exec(select(Feedback.event_id).order_by(Feedback.event_id)).all()
        names = session.exec(select(Exchange.id).order_by(Exchange.id)).all()
        return list(events), list(names)


def test_the_same_file_twice_imports_nothing_and_says_so(store: Store) -> None:
    text = lines(*(verdict(number, label=number % 2 == 0) for number in range(7)))
    first, _ = take(store, "trl", text)
    assert (first.read, first.imported, first.exchanges, first.feedback) == (7, 7, 7, 7)
    before = rows_of(store)
    again, _ = take(store, "trl", text)
    assert (again.read, again.imported, again.duplicates) == (7, 0, 7)
    assert (again.exchanges, again.feedback) == (0, 0)
    assert rows_of(store) == before


def test_a_row_twice_in_one_file_counts_once(store: Store) -> None:
    tally, _ = take(store, "trl", lines(*[verdict(1, label=True)] * 3))
    assert (tally.imported, tally.duplicates, tally.feedback) == (1, 2, 1)


def test_an_import_that_is_killed_is_simply_run_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH_ITEMS", 3)
    text = lines(*(verdict(number, label=True) for number in range(10)))
    entries = itertools.islice(catalogue.entries("trl", [source(text)]), 8)
    batch = importing._Batch(
        store, store.settings, Voices(KEY, "trl"), tally=Tally(), report=lambda _: None
    )
    for entry in entries:
        batch.add(entry)  # and never flushed: two whole batches are in, a third is not
    assert len(rows_of(store)[0]) == 6
    tally, _ = take(store, "trl", text)
    assert (tally.imported, tally.duplicates) == (4, 6)


@hypothesis_settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(parts=st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=4))
def test_any_overlapping_files_in_any_order_end_in_the_same_rows(
    store: Store, parts: list[list[int]]
) -> None:
    run = time.perf_counter_ns()
    kept = set()
    imported = 0
    for part in parts:
        rows = [{**verdict(number, label=True), "prompt": f"{run} {number}?"} for number in part]
        tally, _ = take(store, "trl", lines(*rows) or "\n")
        kept.update(part)
        imported += tally.imported
    assert imported == len(kept)


def test_a_source_that_breaks_off_keeps_what_came_before(store: Store) -> None:
    text = json.dumps([verdict(number, label=True) for number in range(5)])
    tally, _ = take(store, "trl", text[:-20], broken=Invalid)
    assert (tally.read, tally.imported) == (4, 4)
    again, _ = take(store, "trl", text)
    assert (again.imported, again.duplicates) == (1, 4)


def test_a_database_that_takes_no_more_leaves_whole_batches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH_ITEMS", 2)
    calls = itertools.count()
    apply = intake.apply

    def failing(*arguments: Any) -> Any:
        done = apply(*arguments)
        if next(calls) == 1:
            raise Unavailable("gone")  # after its rows were written and before the commit
        return done

    monkeypatch.setattr(intake, "apply", failing)
    text = lines(*(verdict(number, label=True) for number in range(6)))
    tally, _ = take(store, "trl", text, broken=Unavailable)
    assert (tally.imported, len(rows_of(store)[0])) == (2, 2)


def test_a_vote_brings_its_unknown_exchange_along(store: Store) -> None:
    before = time.time()
    tally, _ = take(store, "langfuse", lines(score(1), trace(1)))
    assert (tally.imported, tally.exchanges, tally.feedback) == (1, 1, 1)
    [(feedback, receipt, exchange)] = stored(store)
    assert exchange.origin == "import"
    assert exchange.messages == [{"role": "user", "content": "Question 1?"}]
    assert exchange.choices[0]["text"] == "Answer 1."
    assert exchange.created_at == 1_700_000_000
    assert feedback.told_at == 1_769_850_000  # late: when they said so, not now
    assert feedback.received_at >= before
    assert receipt.status == "waiting"


def test_a_vote_about_an_answer_of_ours_finds_it(store: Store) -> None:
    completion = recorded(store)
    tally, _ = take(store, "langfuse", lines(score(1, traceId=completion)))
    assert (tally.imported, tally.exchanges) == (1, 0)
    [(feedback, _, exchange)] = stored(store)
    assert feedback.exchange_id == exchange.id == completion


def test_a_vote_about_nothing_known_is_skipped(store: Store) -> None:
    tally, skipped = take(store, "langfuse", lines(score(1), score(2), trace(2)))
    assert (tally.imported, tally.reasons) == (1, {UNKNOWN: 1})
    assert skipped[0].place.line == 1
    again, _ = take(store, "langfuse", lines(trace(1), score(1)))
    assert again.imported == 1


def test_a_vote_that_was_changed_in_the_source_is_a_later_vote(store: Store) -> None:
    take(store, "langfuse", lines(score(1), trace(1)))
    changed = score(1, value=0, timestamp="2026-02-01T09:00:00Z")
    tally, _ = take(store, "langfuse", lines(changed, trace(1)))
    assert (tally.imported, tally.exchanges) == (1, 0)
    assert [feedback.rating for feedback, _, _ in stored(store)] == [1.0, 0.0]


def test_imported_corrections_wait_for_a_reviewer_and_thumbs_do_not(store: Store) -> None:
    take(store, "trl", lines(verdict(1), verdict(2, label=False)))
    found = {receipt.status: feedback for feedback, receipt, _ in stored(store)}
    assert found["review"].correction == "Answer 1."
    assert found["waiting"].rating == 0.0


def test_people_are_the_ones_that_chat_here_and_nobody_known_is_one_account(store: Store) -> None:
    take(store, "langfuse", lines(score(1), trace(1, userId="ben")))
    take(store, "trl", lines(verdict(1, label=True), verdict(2, label=True)))
    found = stored(store)
    assert found[0][0].person_id == KEY.person_id("user:ana")
    assert found[0][2].person_id == KEY.person_id("user:ben")
    assert {row[0].person_id for row in found[1:]} == {KEY.person_id("import:trl")}
    # Or else the later of two answers would count as liked better than the earlier.
    assert all(row[2].person_id != row[0].person_id for row in found[1:])
    with store.session() as session:
        people = session.exec(select(Person)).all()
    assert {person.key_id for person in people} == {KEY.id}
    assert "ana" not in "".join(map(str, people))


def test_a_clock_that_runs_ahead_wins_nothing(store: Store) -> None:
    take(store, "langfuse", lines(score(1, timestamp="2099-01-01T00:00:00Z"), trace(1)))
    assert stored(store)[0][0].told_at <= time.time()


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"completion": "a\x00b"}, NUL),
        ({"completion": "a\ud800"}, SURROGATE),
        ({"prompt": [{"role": "user", "content": "\udfff"}]}, SURROGATE),
        ({"completion": "x" * 2_000_000}, "a conversation of more than 1 MiB"),
        ({"completion": "x" * 70_000}, "`correction` is too long (feedback.max_text_bytes)"),
        ({"completion": 7}, "the conversation is no list of messages"),
        ({"completion": None}, "the conversation is no list of messages"),
        ({"prompt": {"role": []}}, "a message's role is not understood"),
    ],
)
def test_what_cannot_be_kept_is_skipped_and_nothing_of_it_stays(
    store: Store, columns: dict[str, Any], why: str
) -> None:
    rows = [verdict(1), {**verdict(2), **columns}, verdict(3)]
    tally, skipped = take(store, "trl", lines(*rows))
    assert (tally.imported, tally.exchanges, tally.reasons) == (2, 2, {why: 1})
    assert skipped[0].place.line == 2


def test_a_row_that_names_half_an_emoji_as_its_id_is_skipped(store: Store) -> None:
    tally, _ = take(store, "langfuse", lines(score(1, id="\ud83d"), trace(1)))
    assert tally.reasons == {SURROGATE: 1}


def test_two_imports_of_one_file_at_the_same_moment_double_nothing(store: Store) -> None:
    """The second sees the first's rows only when it writes its own."""
    text = lines(*(verdict(number, label=True) for number in range(4)))
    known = importing._known
    first = iter([True])

    def late(session: Any, items: Any) -> dict[str, str | None]:
        if next(first, False) and not store.is_sqlite:
            take(store, "trl", text)
            return {}
        return known(session, items)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "_known", late)
        tally, _ = take(store, "trl", text)
    assert tally.imported + tally.duplicates == 4
    assert len(rows_of(store)[0]) == len(exchanges(store)) == 4


def test_reasons_stay_few_however_many_a_file_has() -> None:
    tally = Tally()
    for number in range(5_000):
        tally.skip(f"reason {number}")
    assert len(tally.reasons) == 101
    assert sum(tally.reasons.values()) == tally.read == 5_000
