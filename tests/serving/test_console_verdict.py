"""A gate's report in words and on scales, and a plan split into what was chosen and what was not."""

import json
from typing import Any, get_args

import pytest

from serving.console import recipe, verdict
from tests.trainer.test_ledger import pair
from trainer import pair_rule
from trainer.evidence import Evidence, Paired
from trainer.gate import GateReport, judge
from trainer.plan_gate import RuleName
from trainer.rules import Rule
from trainer.settings import Plan


def report(*pairs: Paired, **plan: Any) -> dict[str, Any]:
    chosen = Plan(**{"base_model": "bare", **plan})
    return judge(Evidence(pairs=pairs), chosen).to_json()


LOSES = [pair(f"k{n}", True, n > 40) for n in range(200)]
KEEPS = [pair(f"k{n}", True, True) for n in range(200)]
LEARNS = [pair(f"n{n}", False, n > 1, kind="new", suite="new corrections") for n in range(20)]


def test_a_verdict_is_one_sentence() -> None:
    assert verdict.sentence("promoted", report(*KEEPS, *LEARNS)) == (
        "Promoted, since it learned what it was taught and lost nothing that matters: 2 rules hold."
    )
    assert verdict.sentence("refused", report(*LOSES, *LEARNS)) == (
        "Refused, since there is evidence of harm: Protected suite 'world'."
    )
    few = verdict.sentence("abstained", report(*KEEPS[:20], *LEARNS))
    assert few.startswith("Not promoted, since there is too little to tell by: Protected suite")
    assert "more items would tell" in few
    told = verdict.sentence("promoted", report(*LOSES, *LEARNS, gate="report-only"))
    assert told.startswith("Published whatever the gate says, which would have refused it, since")
    late = verdict.sentence("abstained", report(*KEEPS, *LEARNS))
    assert late.startswith("Not promoted, although") and "another adapter went live" in late


def test_every_rule_is_drawn_where_it_may_be_seen_to_hold_or_not() -> None:
    for pairs in ([*LOSES, *LEARNS], [*KEEPS, *LEARNS], [*KEEPS[:20], *LEARNS]):
        drawn = [each for each in verdict.lines(report(*pairs)) if each.estimate is not None]
        assert len(drawn) == 2
        for each in drawn:
            least, most = each.allowed
            assert each.least <= each.low <= each.high <= each.most
            assert each.least <= least < most <= each.most
            # What a reader sees: the whole interval lies in the shaded part, or it does not.
            assert (least <= each.low) is (each.outcome == "holds"), each.label


def test_what_decided_comes_first_and_what_was_not_checked_last() -> None:
    found = verdict.lines(report(*LOSES, *LEARNS))
    assert [each.outcome for each in found][:2] == ["broken", "holds"]
    assert found[-1].outcome == "not checked" and found[-1].figures == ""
    assert found[0].figures.startswith("−20.5 points, 95% from −") and found[0].items == 200
    assert found[0].figures.endswith("; −2 allowed")
    assert found[0].told.startswith("The candidate lost 41")


def test_a_recipe_names_what_differs_first() -> None:
    stored = json.loads(Plan(base_model="bare", epochs=7.5).model_dump_json())
    chosen, usual = recipe.settings({**stored, "of_old": 1})
    assert {each.name for each in chosen} == {"base_model", "epochs", "of_old"}
    assert next(each.value for each in chosen if each.name == "epochs") == "7.5"
    assert len(usual) == len(stored) - 2


@pytest.mark.parametrize("name", [*get_args(RuleName), "reviewed-pairs"])
def test_every_rule_that_a_gate_applies_can_be_drawn(name: Any) -> None:
    rule = Rule(
        name=name,
        suite="world",
        outcome="holds",
        unit="points",
        estimate=0.5,
        lower=-1.0,
        upper=2.0,
        margin=3.0,
        items=40,
        sentence="World: all is well.",
    )
    (drawn,) = verdict.lines({"rules": [rule.model_dump(mode="json")]})
    assert drawn.demand and drawn.figures and drawn.least <= drawn.low <= drawn.high <= drawn.most


def test_a_round_that_waits_says_for_how_many_pairs() -> None:
    gate = GateReport.from_json(report(*KEEPS, *LEARNS))
    for needed, told in ((3, "3 more pairs have"), (1, "1 more pair has"), (0, "enough pairs are")):
        rule = pair_rule.awaited(needed, margin_points=20)
        waits = pair_rule.waiting(gate, rule, "rnd_1").to_json()
        said = verdict.sentence("pending", waits)
        assert said.startswith(f"Waits for reviewers: every other rule holds, and {told}"), said
        assert verdict.lines(waits)[0].label == "Answers compared blind"
