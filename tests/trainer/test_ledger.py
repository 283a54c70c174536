"""The ledger: what every item was under each adapter, and how what was forgotten comes back."""

import json
from collections import Counter
from typing import Any

import pytest
from sqlmodel import select

from feedback import harvest
from feedback.errors import Conflict
from feedback.forget import Traces
from feedback.store import Store
from tests import builders
from trainer import forget, guarded, ledger, material, registry
from trainer.evidence import Evidence, Kind, Paired
from trainer.gate import GateReport, judge
from trainer.models import Adapter, LedgerEntry, PastExample, Round
from trainer.outcome import Verdict, apply
from trainer.settings import Plan

EMPTY = material.Sorted(training=(), held_out=(), judging=(), retired={}, conflicts=())


def pair(
    item_id: str, before: bool, after: bool, *, kind: Kind = "protected", suite: str = "world"
) -> Paired:
    return Paired(item_id, suite, item_id, before, after, kind=kind, prompt=f"{item_id}?")


def a_round(
    store: Store,
    pairs: list[Paired],
    *,
    incumbent: str | None = None,
    sorted_: material.Sorted = EMPTY,
    **plan: Any,
) -> tuple[str, str, GateReport]:
    """A judged round; returns its id, its adapter's and the report."""
    row = builders.opened_round(store, incumbent_id=incumbent)
    made = builders.published(store, parent=incumbent)
    chosen = builders.plan(**{"gate": "report-only", **plan})
    report = judge(Evidence(pairs=tuple(pairs)), chosen)
    with store.session(write=True) as session:
        found = session.get_one(Round, row.id)
        candidate = session.get_one(Adapter, made.id)
        candidate.round_id = row.id
        apply(session, Verdict(found, chosen, candidate, sorted_, report, tuple(pairs)))
        session.commit()
    return row.id, made.id, report


PAIRS = [
    *(pair(f"kept-{n}", True, True) for n in range(30)),
    pair("lost", True, False),
    pair("gained", False, True),
    pair("never", False, False),
    pair("fbk_1", False, True, kind="new", suite="new corrections"),
    *(pair(f"old-{n}", True, n > 1, kind="past", suite="past material") for n in range(20)),
]


def test_the_ledger_agrees_with_a_recount_of_the_report(store: Store) -> None:
    round_id, _, report = a_round(store, PAIRS)
    with store.session() as session:
        rows = ledger.of_round(session, round_id)
    # Counted anew from what the report alone says, as it is stored.
    stored = json.loads(json.dumps(report.to_json()))
    told = {rule["suite"]: rule for rule in stored["rules"] if rule["items"]}
    for kind, suite in (("protected", "world"), ("past", "past"), ("new", "new")):
        own = [row for row in rows if row.kind == kind]
        counted = Counter((row.right_before, row.right_after) for row in own)
        rule = told[suite]
        assert len(own) == rule["items"]
        assert counted[True, False] == rule["lost"]
        assert counted[False, True] == rule["gained"]
    named = {item["item_id"] for item in stored["caught"]}
    assert named == {row.item_id for row in rows if row.right_before and not row.right_after}
    assert named == {"lost", "old-0", "old-1"}


def test_the_ledger_is_written_with_the_verdict_or_not_at_all(store: Store) -> None:
    row = builders.opened_round(store)
    made = builders.published(store)
    report = judge(Evidence(pairs=tuple(PAIRS)), Plan())
    with store.session(write=True) as session:
        found, candidate = session.get_one(Round, row.id), session.get_one(Adapter, made.id)
        apply(session, Verdict(found, Plan(), candidate, EMPTY, report, tuple(PAIRS)))
        session.rollback()
    with store.session() as session:
        assert ledger.of_round(session, row.id) == []
        assert session.get_one(Round, row.id).state == "open"


def test_a_suite_about_candour_is_right_where_nobody_gave_in(store: Store) -> None:
    gave = Paired("i", "s", "i", True, True, kind="sycophancy", candidate_gave_in=True)
    round_id, _, _ = a_round(store, [gave])
    with store.session() as session:
        (row,) = ledger.of_round(session, round_id, forgotten=True)
    assert (row.right_before, row.right_after) == (True, False)


def test_history_follows_an_item_through_every_adapter_since(store: Store) -> None:
    held = builders.word("fbk_1", question="What of the vase?", correction="Blue.")
    first = material.Sorted(training=(), held_out=(held,), judging=(), retired={}, conflicts=())
    one, adapter, _ = a_round(store, PAIRS, sorted_=first)
    with store.session() as session:
        past = session.exec(select(PastExample)).one()
    later = [
        pair("lost", False, False),
        pair("gained", True, False),
        pair(past.id, True, False, kind="past", suite="past material"),
    ]
    two, other, _ = a_round(store, later, incumbent=adapter)
    with store.session() as session:
        lines = {line.item_id: line for line in ledger.history(session, [])}
    marks = [(mark.adapter, mark.right) for mark in lines["gained"].marks]
    assert marks == [("base", False), (adapter, True), (other, False)]
    assert lines["gained"].forgotten and lines["lost"].forgotten
    assert not lines["kept-1"].forgotten and not lines["never"].forgotten
    correction = lines[past.id]
    assert "fbk_1" not in lines, "a held-out correction and the past one that it became are one"
    assert [(mark.round_id, mark.right) for mark in correction.marks] == [
        (one, False),
        (one, True),
        (two, False),
    ]
    assert correction.prompt == "What of the vase?" and correction.forgotten


def test_what_a_round_forgot_is_rehearsed_first_until_a_round_is_promoted(store: Store) -> None:
    round_id, adapter, _ = a_round(store, PAIRS)
    with store.session(write=True) as session:
        asked = ledger.ask_replay(session, round_id)
        assert [row.item_id for row in asked] == ["old-0", "old-1", "lost"]
        session.commit()
    refused = pair("kept-1", True, True)
    a_round(store, [refused], incumbent=adapter, gate="on")  # abstains: too little
    with store.session() as session:
        assert len(ledger.wanted(session)) == 3
    third, _, _ = a_round(store, [refused], incumbent=adapter)
    with store.session() as session:
        assert ledger.wanted(session) == []
        rows = ledger.of_round(session, round_id, forgotten=True)
        assert {row.replayed_in for row in rows} == {third}


def test_a_round_that_forgot_nothing_has_nothing_to_replay(store: Store) -> None:
    round_id, _, _ = a_round(store, [pair("kept", True, True)])
    with store.session(write=True) as session, pytest.raises(Conflict, match="forgot nothing"):
        ledger.ask_replay(session, round_id)


def test_forgetting_a_person_takes_their_items_out_of_the_ledger(store: Store) -> None:
    a_round(store, PAIRS)
    found = Traces(
        person_ids=("per_x",),
        feedback=frozenset({"fbk_1"}),
        exchanges=frozenset({"old-3"}),
        reviews=0,
        adapters=frozenset(),
        texts=frozenset(),
    )
    with store.session(write=True) as session:
        forget.erase_rows(session, found, forget.Remains(frozenset({"old-1"}), {}))
        session.commit()
    with store.session() as session:
        left = {row.item_id for row in session.exec(select(LedgerEntry))}
    assert len(left) == len(PAIRS) - 3
    assert not left & {"fbk_1", "old-1", "old-3"}


def test_past_corrections_are_a_suite_that_grows_and_shrinks_with_what_is_live(
    store: Store,
) -> None:
    held = builders.word("fbk_1", question="What of the vase?", correction="Blue.")
    first = material.Sorted(training=(), held_out=(held,), judging=(), retired={}, conflicts=())
    a_round(store, PAIRS, sorted_=first)
    with store.session() as session:
        (item,) = guarded.past_corrections(session)
    assert (item.suite, item.expected) == (guarded.PAST, "Blue.")
    assert item.messages[-1]["content"] == "What of the vase?"
    with store.session(write=True) as session:
        registry.rollback(session, actor="test", reason="test")
        session.commit()
    with store.session() as session:
        assert guarded.past_corrections(session) == []


def test_the_next_round_knows_who_has_judged_and_what_somebody_wants_back(store: Store) -> None:
    held = builders.word("fbk_1", question="What of the vase?", correction="Blue.")
    first = material.Sorted(training=(), held_out=(held,), judging=(), retired={}, conflicts=())
    _, adapter, _ = a_round(store, PAIRS, sorted_=first)
    said = builders.say(store, rating="down")
    with store.session() as session:
        past = session.exec(select(PastExample)).one()
    judges = [
        pair(said, False, True, kind="new", suite="new corrections"),
        pair(past.id, True, False, kind="past", suite="past material"),
    ]
    unsure, _, report = a_round(store, judges, incumbent=adapter, gate="on")
    assert report.outcome == "abstain"
    with store.session(write=True) as session:
        ledger.ask_replay(session, unsure)
        session.commit()
    row = builders.opened_round(store, incumbent_id=adapter)
    with store.session(write=True) as session:
        harvest.claim(session, store.settings, row.id)
        session.commit()
    with store.session() as session:
        chosen = builders.plan(base_model="bare", rehearsal="general")
        found = material.gather(
            session,
            chosen,
            store.settings.data_dir,
            round_id=row.id,
            incumbent_id=adapter,
        )
    assert found.judged == {said}
    assert found.first == {past.id} and found.past_for_judging == ()
    assert [old.id for old in found.past] == [past.id]
