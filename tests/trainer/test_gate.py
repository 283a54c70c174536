"""The gate: each rule, how they add up, and what a person is told."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.errors import Invalid
from trainer.evidence import Evidence, Kind, Paired
from trainer.gate import GateReport, judge
from trainer.rules import Rule
from trainer.settings import Plan

PLAN = Plan()


def plan(**changes: Any) -> Plan:
    return Plan.model_validate({**PLAN.model_dump(), **changes})


def pairs(kind: Kind, suite: str, *, kept: int = 0, lost: int = 0, gained: int = 0) -> list[Paired]:
    outcomes = [(True, False)] * lost + [(False, True)] * gained + [(True, True)] * kept
    return [
        Paired(
            item_id=f"{suite}-{number:04}",
            suite=suite,
            cluster=f"{suite}-{number:04}",
            incumbent_right=before,
            candidate_right=after,
            kind=kind,
            prompt=f"Question {number}?",
            incumbent_answer="59 dollars" if before else "no idea",
            candidate_answer="59 dollars" if after else "49 dollars",
            expected="59 dollars",
        )
        for number, (before, after) in enumerate(outcomes)
    ]


def evidence(
    *groups: list[Paired],
    kl_nats: tuple[float, ...] = (0.01,) * 20,
    untouched: tuple[tuple[int, int], ...] = ((10, 10),) * 20,
    new_lengths: tuple[tuple[int, int], ...] = ((10, 11),) * 20,
) -> Evidence:
    return Evidence(
        pairs=tuple(each for group in groups for each in group),
        kl_nats=kl_nats,
        untouched_lengths=untouched,
        new_lengths=new_lengths,
    )


WORLD = pairs("protected", "world", kept=200)
PAST = pairs("past", "earlier", kept=200)
NEW = pairs("new", "today", kept=10, gained=20)
GOOD = evidence(WORLD, PAST, NEW)


def rule(report: GateReport, name: str, suite: str) -> Rule:
    (found,) = [each for each in report.rules if (each.name, each.suite) == (name, suite)]
    return found


def test_promotes_what_learned_and_broke_nothing() -> None:
    report = judge(GOOD, PLAN)
    assert report.outcome == "promote" and report.enforced
    assert {each.outcome for each in report.rules} == {"holds"}
    assert report.caught == ()
    gain = rule(report, "superiority", "new")
    assert gain.estimate == pytest.approx(100 * 20 / 30)
    assert gain.lower is not None and gain.lower > 0
    assert report.summary.startswith("The gate promotes the candidate. New corrections: ")


def test_refuses_what_broke_a_protected_suite_and_names_what_it_lost() -> None:
    broken = pairs("protected", "prices", kept=180, lost=20)
    report = judge(evidence(WORLD, broken, pairs("past", "old", kept=200, lost=1), NEW), PLAN)
    assert report.outcome == "refuse"
    harm = rule(report, "non-inferiority", "prices")
    assert harm.outcome == "refuse" and harm.estimate == -10 and harm.lost == 20
    assert harm.upper is not None and harm.upper < -2
    assert [each.suite for each in report.caught] == ["prices"] * 20 + ["old"]
    first = report.caught[0]
    assert (first.incumbent_answer, first.candidate_answer) == ("59 dollars", "49 dollars")
    assert "Protected suite 'prices': the candidate lost 20" in report.summary
    assert "“Question 0?” (expected “59 dollars”, now “49 dollars”)" in report.summary
    assert "and 17 more" in report.summary
    assert "'world'" not in report.summary


def test_refuses_what_forgot_past_material() -> None:
    report = judge(evidence(WORLD, pairs("past", "old", kept=60, lost=8), NEW), PLAN)
    assert report.outcome == "refuse"
    assert rule(report, "non-inferiority", "past").outcome == "refuse"


def test_refuses_what_got_worse_at_what_it_was_to_learn() -> None:
    report = judge(evidence(WORLD, PAST, pairs("new", "today", kept=20, lost=10)), PLAN)
    assert report.outcome == "refuse"
    assert rule(report, "superiority", "new").outcome == "refuse"


@pytest.mark.parametrize("kl", [0.0501, float("nan"), float("inf")])
def test_refuses_drift(kl: float) -> None:
    report = judge(dataclasses.replace(GOOD, kl_nats=(kl,) * 10), PLAN)
    assert report.outcome == "refuse"
    assert rule(report, "drift", "untouched").outcome == "refuse"
    assert GateReport.from_json(json.loads(json.dumps(report.to_json()))) == report


@pytest.mark.parametrize("candidate", [84, 116, 0])
def test_refuses_answers_of_another_length_where_nobody_asked(candidate: int) -> None:
    report = judge(dataclasses.replace(GOOD, untouched_lengths=((100, candidate),) * 10), PLAN)
    assert report.outcome == "refuse"
    assert rule(report, "length", "untouched").outcome == "refuse"


@pytest.mark.parametrize("candidate", [85, 115])
def test_allows_the_length_to_change_by_exactly_what_the_plan_says(candidate: int) -> None:
    report = judge(dataclasses.replace(GOOD, untouched_lengths=((100, candidate),) * 10), PLAN)
    assert report.outcome == "promote"


def test_refuses_new_answers_longer_than_the_corrections() -> None:
    report = judge(dataclasses.replace(GOOD, new_lengths=((10, 12),) * 10), PLAN)
    assert report.outcome == "refuse"
    assert rule(report, "length", "new").estimate == pytest.approx(20)


@pytest.mark.parametrize(
    "few",
    [{"kl_nats": (0.2,) * 9}, {"untouched_lengths": ((10, 20),) * 9}, {"new_lengths": ((10, 20),)}],
)
def test_a_handful_of_prompts_refuses_nobody(few: dict[str, Any]) -> None:
    report = judge(dataclasses.replace(GOOD, **few), PLAN)
    assert report.outcome == "abstain"
    assert "more would tell whether that is more than one odd answer" in report.summary


def test_refuses_lengths_against_an_empty_baseline() -> None:
    report = judge(dataclasses.replace(GOOD, untouched_lengths=((0, 5),) * 10), PLAN)
    assert report.outcome == "refuse"
    assert rule(report, "length", "untouched").estimate is None


def test_abstains_from_a_small_suite_and_says_how_many_items_are_missing() -> None:
    small = pairs("protected", "tiny", kept=100)
    report = judge(evidence(small, PAST, NEW), PLAN)
    assert report.outcome == "abstain"
    assert rule(report, "non-inferiority", "tiny").needed == 1546 - 100
    assert "about 1,446 more items would tell, or 49 if none of them is lost." in report.summary


def test_more_phrasings_of_the_same_facts_do_not_make_a_suite_larger() -> None:
    facts = [
        dataclasses.replace(each, cluster=f"fact-{number % 20}")
        for number, each in enumerate(pairs("protected", "facts", kept=200))
    ]
    report = judge(evidence(facts, PAST, NEW), PLAN)
    found = rule(report, "non-inferiority", "facts")
    assert (found.outcome, found.clusters, found.items) == ("abstain", 20, 200)
    assert "200 items in 20 clusters" in found.sentence
    assert "more items in new clusters would tell, or 1,290 if none" in found.sentence


def test_abstains_from_a_gain_that_may_be_luck() -> None:
    report = judge(evidence(WORLD, PAST, pairs("new", "today", kept=16, gained=4)), PLAN)
    assert report.outcome == "abstain"
    gain = rule(report, "superiority", "new")
    assert gain.lower == 0 and gain.needed is not None and 1 <= gain.needed <= 20


def test_five_gains_without_a_loss_are_the_fewest_that_prove_one() -> None:
    assert judge(evidence(WORLD, PAST, pairs("new", "t", gained=5)), PLAN).outcome == "promote"
    four = judge(evidence(WORLD, PAST, pairs("new", "t", gained=4)), PLAN)
    assert four.outcome == "abstain"
    assert rule(four, "superiority", "new").needed == 1


def test_no_more_items_are_asked_for_where_they_would_not_help() -> None:
    # A gain of three points would have shown among two thousand items.
    report = judge(evidence(WORLD, PAST, pairs("new", "t", kept=1800, lost=90, gained=110)), PLAN)
    found = rule(report, "superiority", "new")
    assert (found.outcome, found.needed) == ("abstain", None)
    assert "more items like these are unlikely to show otherwise" in found.sentence


def test_more_items_are_asked_for_the_closer_the_loss_is_to_the_margin() -> None:
    report = judge(evidence(pairs("protected", "w", kept=1782, lost=118, gained=100), NEW), PLAN)
    found = rule(report, "non-inferiority", "w")
    assert found.outcome == "abstain" and found.needed is not None and found.needed > 2000


def test_items_may_ask_for_a_stricter_margin() -> None:
    strict = [dataclasses.replace(each, margin_points=1.0) for each in WORLD]
    report = judge(evidence(strict, PAST, NEW), PLAN)
    assert report.outcome == "abstain"
    found = rule(report, "non-inferiority", "world")
    assert found.margin == 1.0 and found.needed == 6183 - 200


def test_what_was_not_there_is_not_checked_and_says_why() -> None:
    report = judge(Evidence(pairs=(*WORLD, *NEW)), PLAN)
    assert report.outcome == "promote"
    unchecked = {(each.name, each.suite) for each in report.rules if each.outcome == "not checked"}
    assert unchecked == {
        ("non-inferiority", "past"),
        ("drift", "untouched"),
        ("length", "untouched"),
        ("length", "new"),
    }
    assert "Past material: not checked, since there is none to ask again." in report.summary


def test_promotes_nothing_for_want_of_evidence() -> None:
    nothing = judge(Evidence(), PLAN)
    assert nothing.outcome == "abstain"
    assert "No held-out correction could show a gain." in nothing.summary
    assert "No protected or past item could show harm." in nothing.summary
    assert judge(Evidence(pairs=tuple(NEW)), PLAN).outcome == "abstain"
    assert judge(Evidence(pairs=tuple(WORLD)), PLAN).outcome == "abstain"


def test_report_only_judges_alike_and_says_so() -> None:
    broken = evidence(pairs("protected", "world", kept=180, lost=20), PAST, NEW)
    report = judge(broken, plan(gate="report-only"))
    assert report.outcome == "refuse" and not report.enforced
    assert report.rules == judge(broken, PLAN).rules
    assert report.summary.startswith("The gate only reports; it would refuse the candidate.")


def test_an_item_counts_once() -> None:
    with pytest.raises(Invalid, match="'world-0000' of 'world' is in the evidence more than once"):
        judge(evidence(WORLD, WORLD), PLAN)


def test_names_at_most_a_hundred_lost_items_and_counts_all() -> None:
    report = judge(evidence(pairs("protected", "world", lost=150), PAST, NEW), PLAN)
    assert len(report.caught) == 100
    assert rule(report, "non-inferiority", "world").lost == 150


def test_long_texts_are_shortened_in_the_summary_only() -> None:
    (long,) = pairs("protected", "essay", lost=1)
    long = dataclasses.replace(long, candidate_answer="very\n" * 500)
    rest = pairs("protected", "essay-rest", lost=10)
    rest = [dataclasses.replace(each, suite="essay") for each in rest]
    report = judge(evidence([long], rest, PAST, NEW), PLAN)
    assert report.outcome == "refuse" and len(report.summary) < 1000
    assert report.caught[0].candidate_answer == long.candidate_answer


@pytest.mark.parametrize(
    ("suites", "said"), [(4, None), (5, "1 further rule says"), (7, "3 further rules say")]
)
def test_a_summary_gives_the_first_reasons_and_counts_the_others(
    suites: int, said: str | None
) -> None:
    broken = [pairs("protected", f"suite-{at}", kept=180, lost=20) for at in range(suites)]
    report = judge(evidence(*broken, PAST, NEW), PLAN)
    assert len([each for each in report.rules if each.outcome == "refuse"]) == suites
    assert report.summary.count("the candidate lost 20") == 4
    assert (f"{said} the same" in report.summary) if said else ("further" not in report.summary)


def test_a_true_loss_of_two_points_is_promoted_once_in_twenty_at_most() -> None:
    rng = np.random.default_rng(17)
    promoted = 0
    for lost, gained, kept in rng.multinomial(300, [0.03, 0.01, 0.96], size=120):
        world = pairs("protected", "world", kept=kept, lost=lost, gained=gained)
        promoted += judge(Evidence(pairs=(*world, *NEW)), PLAN).outcome == "promote"
    assert promoted <= 12  # of 120; more would come by chance once in a hundred


def test_a_true_gain_of_five_points_is_promoted_four_times_in_five() -> None:
    rng = np.random.default_rng(19)
    promoted = 0
    for lost, gained, kept in rng.multinomial(489, [0.075, 0.125, 0.8], size=80):
        new = pairs("new", "today", kept=kept, lost=lost, gained=gained)
        promoted += judge(Evidence(pairs=(*WORLD, *new)), PLAN).outcome == "promote"
    assert promoted >= 0.7 * 80


OUTCOMES = st.lists(
    st.tuples(
        st.sampled_from(["protected", "past", "new"]),
        st.sampled_from(["a", "b"]),
        st.booleans(),
        st.booleans(),
        st.integers(0, 30),
        st.integers(1, 8),
    ),
    max_size=30,
)


def compose(outcomes: list[tuple[Kind, str, bool, bool, int, int]]) -> list[Paired]:
    return [
        Paired(f"{row}-{copy}", suite, f"{cluster}-{copy}", before, after, kind=kind, prompt="é\n")
        for row, (kind, suite, before, after, cluster, times) in enumerate(outcomes)
        for copy in range(times)
    ]


@settings(max_examples=60, deadline=None)
@given(OUTCOMES, st.lists(st.floats(), max_size=3))
def test_reports_come_back_from_json(outcomes: list[Any], kl_nats: list[float]) -> None:
    report = judge(Evidence(pairs=tuple(compose(outcomes)), kl_nats=tuple(kl_nats)), PLAN)
    stored = json.dumps(report.to_json(), allow_nan=False)
    assert GateReport.from_json(json.loads(stored)) == report


@settings(max_examples=100, deadline=None)
@given(OUTCOMES, st.data())
def test_a_right_answer_turned_wrong_never_turns_a_refusal_into_a_promotion(
    outcomes: list[Any], data: st.DataObject
) -> None:
    lenient = plan(margin_points=25.0)
    before = compose(outcomes)
    right = [index for index, each in enumerate(before) if each.candidate_right]
    if not right:
        return
    chosen = data.draw(st.sets(st.sampled_from(right), min_size=1))
    after = [
        dataclasses.replace(each, candidate_right=False) if index in chosen else each
        for index, each in enumerate(before)
    ]
    if judge(Evidence(pairs=tuple(before)), lenient).outcome == "refuse":
        assert judge(Evidence(pairs=tuple(after)), lenient).outcome != "promote"
