"""Heed's own format: nothing is lost, and a page of rows is in memory at a time."""

import json
from typing import Any

import pytest
from sqlmodel import select

from feedback.formats import heed, restoring
from feedback.models import Exchange, Feedback, Person, Receipt, Review
from feedback.store import Store
from tests.builders import decide, exchange, person, record, recorded, say


def exported(store: Store) -> list[dict[str, Any]]:
    with store.session() as session:
        heed.freeze(store, session)
        lines = [json.loads(json.dumps(line)) for line in heed.export(session)]
        counts = heed.counts(session)
    assert len(lines) == counts.total + 1
    return lines


def rows(store: Store, kind: Any) -> list[dict[str, Any]]:
    with store.session() as session:
        return sorted(
            (row.model_dump() for row in session.exec(select(kind))),
            key=json.dumps,
        )


def test_an_empty_store_exports_its_header(store: Store) -> None:
    [header] = exported(store)
    assert (header["type"], header["version"]) == ("heed", heed.VERSION)


def test_every_row_can_be_made_again_from_its_line(store: Store) -> None:
    completion = recorded(store, question="Preis? 漢字 🙂", conversation_id="c1", turn=2)
    say(store, "ana", completion_id=completion, rating=4, scale=5, comment="Nearly", reasons=["a"])
    say(store, "ben", conversation_id="c1", signal="dwell", value=0.1)
    corrected = say(store, "cem", correction="The lamp costs 59 dollars.")
    decisions: tuple[dict[str, Any], ...] = (
        {"decision": "refuse", "reason": "no"},
        {"decision": "edit", "correction": "59"},
    )
    for decision in decisions:
        decide(store, corrected, **decision)

    made: dict[Any, list[Any]] = {
        kind: [] for kind in (Person, Exchange, Feedback, Receipt, Review)
    }
    for line in exported(store)[1:]:
        kind = {"person": Person, "exchange": Exchange, "feedback": Feedback}[line.pop("type")]
        if kind is Feedback:
            beside = {"feedback_id": line["id"], "project_id": line["project_id"]}
            follows = {**beside, "teaches": restoring.teaches(line)}
            made[Receipt].append(Receipt(**line.pop("receipt"), **follows))
            made[Review] += [Review(**each, **beside) for each in line.pop("reviews")]
        made[kind].append(kind(**line))
    for kind, found in made.items():
        again = sorted((row.model_dump() for row in found), key=json.dumps)
        assert sorted(map(dict_text, again)) == sorted(map(dict_text, rows(store, kind))), kind


def dict_text(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def test_reviews_come_in_the_order_in_which_they_were_made(store: Store) -> None:
    feedback_id = say(store, correction="59")
    for decision in ("accept", "reopen", "refuse"):
        decide(store, feedback_id, decision)
    line = exported(store)[-1]
    assert [each["decision"] for each in line["reviews"]] == ["accept", "reopen", "refuse"]


def test_pages_join_without_a_gap_and_lines_come_after_what_they_refer_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heed, "PAGE", 3)
    said = [say(store, f"person {number}") for number in range(8)]
    seen: set[str] = set()
    for line in exported(store)[1:]:
        if line["type"] == "exchange":
            assert line["person_id"] in seen
        if line["type"] == "feedback":
            assert line["exchange_id"] in seen
        assert line["id"] not in seen
        seen.add(line["id"])
    assert seen >= set(said)
    assert len(seen) == 24


def test_an_export_sees_one_moment_whatever_is_written_meanwhile(store: Store) -> None:
    say(store, "ana")
    with store.session() as session:
        heed.freeze(store, session)
        lines = heed.export(session)
        seen = [next(lines), next(lines)]
        say(store, "ben")
        seen += lines
    assert [line["type"] for line in seen] == ["heed", "person", "exchange", "feedback"]
    assert {line.get("person_id", person()) for line in seen} == {person()}


def test_the_same_rows_give_the_same_bytes(store: Store) -> None:
    record(store, exchange(), exchange())
    first, second = exported(store)[1:], exported(store)[1:]
    assert [json.dumps(line) for line in first] == [json.dumps(line) for line in second]
