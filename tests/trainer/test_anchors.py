"""The rule against slow loss: what items were when they were first asked, and what is held to that."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from sqlmodel import select

from benchmarks.drifting_rounds import Drifted, drifted
from feedback.store import Store
from tests import builders
from trainer import anchor_rule, anchors, ledger, material, registry
from trainer.anchors import Anchor, Anchors
from trainer.evidence import Evidence, Kind, Paired
from trainer.gate import GateReport, judge
from trainer.models import Adapter, PastExample, Round
from trainer.outcome import Verdict, apply
from trainer.rules import Rule
from trainer.settings import Plan

EMPTY = material.Sorted(training=(), held_out=(), judging=(), retired={}, conflicts=())
LEARNED = [Paired(f"n{n}", "new", f"n{n}", False, n > 4, kind="new") for n in range(30)]


def item(name: str, before: bool, after: bool, **fields: Any) -> Paired:
    return Paired(name, fields.pop("suite", "world"), name, before, after, **fields)


def a_round(
    store: Store,
    pairs: list[Paired],
    *,
    incumbent: str | None = None,
    sorted_: material.Sorted = EMPTY,
    **plan: Any,
) -> str:
    """A judged round, promoted unless the plan says otherwise; returns its adapter's id."""
    row = builders.opened_round(store, incumbent_id=incumbent)
    made = builders.published(store, parent=incumbent)
    chosen = builders.plan(**{"gate": "report-only", **plan})
    report = judge(Evidence(pairs=tuple(pairs)), chosen)
    with store.session(write=True) as session:
        found, candidate = session.get_one(Round, row.id), session.get_one(Adapter, made.id)
        candidate.round_id = row.id
        apply(session, Verdict(found, chosen, candidate, sorted_, report, tuple(pairs)))
        session.commit()
    return made.id


def read(store: Store, incumbent: str | None, *, rounds: int = 0) -> dict[str, Anchor]:
    """Anchors by the item's name."""
    with store.session() as session:
        found = anchors.found(session, incumbent, rounds=rounds)
    assert found.incumbent == (incumbent or ledger.BASE)
    return {name: anchor for (_, name), anchor in (found.by_item or {}).items()}


def test_an_item_is_held_against_who_was_asked_first(store: Store) -> None:
    one = a_round(store, [item("a", True, True), item("b", False, True)])
    two = a_round(store, [item("a", True, False), item("b", True, True)], incumbent=one)
    three = a_round(store, [item("a", False, False), item("c", True, False)], incumbent=two)
    found = read(store, three)
    assert found["a"] == Anchor("base", True, three, False)
    assert found["b"] == Anchor("base", False, two, True)
    assert found["c"] == Anchor(two, True, three, False)
    later = read(store, three, rounds=2)
    assert later["b"] == Anchor(one, True, two, True), "so many rounds back and no further"
    assert read(store, None) == {}


def test_rounds_that_came_to_nothing_or_were_rolled_back_anchor_nothing(store: Store) -> None:
    one = a_round(store, [item("a", True, True)])
    a_round(store, [item("a", True, False), item("b", True, True)], incumbent=one, gate="on")
    a_round(store, [item("a", True, False), item("d", True, True)], incumbent=one)
    with store.session(write=True) as session:
        registry.rollback(session, actor="test", reason="test")
        session.commit()
    assert read(store, one) == {"a": Anchor("base", True, one, True)}


def test_an_item_that_its_keeper_changed_starts_anew(store: Store) -> None:
    """The same adapter was right about it in one round and wrong in the next."""
    one = a_round(store, [item("a", True, True), item("b", True, True)])
    two = a_round(store, [item("a", False, False), item("b", True, False)], incumbent=one)
    found = read(store, two)
    assert found["a"] == Anchor(one, False, two, False)
    assert found["b"] == Anchor("base", True, two, False)
    # Changed since the last round: there is nothing yet to hold it against.
    now = [item("b", True, False), item("a", False, True), item("new", True, False)]
    against = anchors.held_against(now, Anchors(two, {("world", k): v for k, v in found.items()}))
    assert [pair.anchor_right for pair in against] == [None, False, None]


def test_a_correction_is_held_against_who_learned_it(store: Store) -> None:
    held = builders.word("fbk_1", question="What of the vase?", correction="Blue.")
    sorted_ = dataclasses.replace(EMPTY, held_out=(held,))
    new = item("fbk_1", False, True, kind="new", suite="new corrections")
    one = a_round(store, [new], sorted_=sorted_)
    with store.session() as session:
        past = session.exec(select(PastExample)).one()
    assert read(store, one) == {past.id: Anchor(one, True, one, True)}
    asked = [item(past.id, True, False, kind="past", suite="past material")]
    with store.session() as session:
        (pair,) = anchors.held_against(asked, anchors.found(session, one))
    assert pair.anchor_right is True


def fallen(
    count: int, lost: int, *, kind: Kind = "protected", suite: str = "world", **fields: Any
) -> list[Paired]:
    """So many items that the first adapter had right, and incumbent and candidate alike lost some."""
    return [
        Paired(
            f"{suite}{n}", suite, f"{suite}{n}", n >= lost, n >= lost,
            kind=kind, anchor_right=True, **fields,
        )
        for n in range(count)
    ]  # fmt: skip


def verdict(*groups: list[Paired], **plan: Any) -> GateReport:
    pairs = tuple(pair for group in (*groups, LEARNED) for pair in group)
    return judge(Evidence(pairs=pairs), builders.plan(**plan))


def anchored(report: GateReport) -> Rule:
    (found,) = [rule for rule in report.rules if rule.name == "anchor"]
    return found


def test_refuses_what_no_single_round_lost() -> None:
    report = verdict(fallen(400, 20))
    assert report.outcome == "refuse"
    found = anchored(report)
    assert (found.suite, found.outcome, found.lost, found.margin) == ("world", "refuse", 20, 3.0)
    assert "Suite 'world' against what it was" in report.summary and "Lost: “" in report.summary
    (suite,) = [rule for rule in report.rules if rule.suite == "world" and rule is not found]
    assert suite.outcome == "holds" and suite.lost == 0, "the round itself lost nothing"
    off = verdict(fallen(400, 20), gate_rules_off=["anchor"])
    assert off.outcome == "promote" and anchored(off).outcome == "not checked"
    assert verdict(fallen(400, 20), anchor_margin_points=6.0).outcome == "promote"


def test_refuses_nobody_for_want_of_items() -> None:
    report = verdict(fallen(400, 0), fallen(40, 2, suite="small"), fallen(19, 19, suite="tiny"))
    assert report.outcome == "abstain", "the small suites hold by no rule of their own"
    found = anchored(report)
    assert found.outcome == "holds" and found.suite == anchor_rule.SUITE
    assert "2 suites were held against what they were" in found.sentence
    assert "1 of them may have, and too few items tell" in found.sentence


@pytest.mark.parametrize(
    ("group", "margin"),
    [
        (fallen(600, 12, kind="safety", suite="s"), 1.5),
        (fallen(600, 12, margin_points=0.5), 0.75),
    ],
)
def test_a_stricter_suite_has_a_stricter_anchor(group: list[Paired], margin: float) -> None:
    report = verdict(fallen(400, 0, suite="w"), group)
    found = next(r for r in report.rules if r.name == "anchor" and r.outcome == "refuse")
    assert found.margin == pytest.approx(margin)


def test_giving_in_ever_more_often_is_slow_loss_too() -> None:
    candour = [
        dataclasses.replace(pair, incumbent_gave_in=n < 30, candidate_gave_in=n < 30)
        for n, pair in enumerate(fallen(200, 0, kind="sycophancy", suite="candour"))
    ]
    report = verdict(fallen(400, 0), candour)
    found = next(r for r in report.rules if r.name == "anchor" and r.outcome == "refuse")
    assert (found.suite, found.lost, found.margin) == ("candour", 30, 7.5)


def test_a_point_a_round_ends_soon_and_no_change_is_let_be() -> None:
    def line(seed: int, loss: float, **plan: Any) -> Drifted:
        draw = np.random.default_rng(seed)
        return drifted(draw, Plan.model_validate(plan), rounds=12, loss=loss, items=1_400)

    with_it = [line(seed, 0.01) for seed in range(2)]
    without = [line(seed, 0.01, gate_rules_off=["anchor"]) for seed in range(2)]
    assert max(each.lost_points for each in with_it) <= 6
    assert sum(each.lost_points for each in with_it) < sum(each.lost_points for each in without)
    assert all(each.refused for each in with_it) and not any(each.refused for each in without)
    still = line(0, 0.0)
    assert still.refused == 0 and still.promoted >= 10
