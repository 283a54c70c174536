"""The arithmetic of the training benchmark: operations, pairs, targets, equal steps, equal results."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.training_speed import contestants, floor, material, processes, quality, report
from benchmarks.training_speed.contestants import Race
from benchmarks.training_speed.records import Job, Records
from tests.trainer.conftest import tiny_model
from tests.trainer.rounds import MIXED, plan
from trainer import packing, task
from trainer.rows import Row

__all__ = ["tiny_model"]

SHAPE = floor.Shape(linear=((3, 2), (2, 3)), hidden=2, vocabulary=10)


def test_a_demonstration_costs_four_operations_a_weight_and_token() -> None:
    row = Row("demonstration", [1, 2, 3], [[4, 5]])
    assert floor.training(SHAPE, [row]) == 4 * 12 * 5 + 4 * 10 * 2 * 2
    assert floor.references(SHAPE, [row]) == 0


def test_a_preference_computes_its_prompt_once_and_both_answers() -> None:
    row = Row("preference", [1, 2, 3], [[4, 5], [6]])
    assert floor.training(SHAPE, [row]) == 4 * 12 * 6 + 4 * 10 * 2 * 3
    assert floor.references(SHAPE, [row]) == 2 * 12 * 6 + 2 * 10 * 2 * 3


def test_no_gradient_goes_through_a_verdicts_mismatched_answer() -> None:
    alone = Row("verdict", [1, 2, 3], [[4, 5]])
    paired = Row("verdict", [1, 2, 3], [[4, 5], [6, 7, 8]])
    more = floor.training(SHAPE, [paired]) - floor.training(SHAPE, [alone])
    assert more == 2 * 12 * 3 + 2 * 10 * 2 * 3


def test_the_layers_count_as_torch_counts_them(tiny_model: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.training_speed import loop
    from trainer.batches import answer_logits, collate

    work = loop.prepare(_task(tiny_model))
    shape = loop.shape_of(work.model)
    row = Row("demonstration", [5, 9, 11], [[40, 4]])
    base = work.model.base_model
    base.disable_adapter_layers()
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        answer_logits(work.model, collate([row]))
    products = sum(
        count
        for kind, count in counted.get_flop_counts()["Global"].items()
        if "attention" not in str(kind)
    )
    layers_once = 2 * shape.body * 5 + 2 * shape.vocabulary * shape.hidden * 2
    assert 2 * layers_once == floor.training(shape, [row])
    rest = products - layers_once
    assert 0 <= rest < 0.05 * layers_once, (
        "positions and scores of attention are all there is beside"
    )


def test_the_bare_loop_ends_where_the_round_trainer_ends(tiny_model: Path) -> None:
    from benchmarks.training_speed import loop

    work = loop.prepare(_task(tiny_model))
    _, learned = loop.by_trainer(work)
    _, expected = loop.by_hand(work)
    fresh = loop._adapter(work.model)
    assert float((expected - fresh).norm()) > 0.1
    assert float((learned - expected).norm()) < 1e-4 * float((expected - fresh).norm())


def test_everybody_takes_as_many_steps(tiny_model: Path, tmp_path: Path) -> None:
    examples = tuple(
        replace(example, target=f"{example.target} {number}")
        for number in range(40)
        for example in MIXED
    )
    asked = plan(epochs=1, batch_tokens=64)
    race = contestants.prepare(Race(tiny_model, tmp_path / "race", examples, asked))
    ready = task.read(tmp_path / "race" / "task")
    from benchmarks.training_speed import loop

    assert race.steps == 120 // 8 + 40 // 8 + 80 // 8
    taken = len(packing.schedule(ready.plan, _encoded(loop.prepare(ready))))
    assert race.steps <= taken <= 1.1 * race.steps
    lines = (tmp_path / "race" / "verdict.jsonl").read_text().splitlines()
    assert len(lines) == 80
    assert {"prompt", "completion", "label"} == set(json.loads(lines[0]))


def test_ratios_are_taken_within_a_repeat(tmp_path: Path) -> None:
    found = Records(tmp_path / "records.jsonl")
    for repeat, (theirs, ours) in enumerate([(10.0, 2.0), (30.0, 3.0), (8.0, None)]):
        found.add(Job("round", "10M", 160, repeat, "trl"), _figures(theirs))
        if ours is not None:
            found.add(Job("round", "10M", 160, repeat, "ours"), _figures(ours))
    again = Records(tmp_path / "records.jsonl")
    assert Job("round", "10M", 160, 1, "ours") in again
    assert Job("round", "10M", 160, 2, "ours") not in again
    rows = {row.name: row for row in report.rows(again)}
    cold = rows["three TRL scripts ÷ cold round, CPU"]
    assert cold.values == [5.0, 10.0]
    assert cold.holds
    assert rows["peak memory, ours ÷ TRL"].values == [0.2, 0.1]
    assert "LLaMA-Factory ÷ cold round, CPU" not in rows


@pytest.mark.parametrize(
    ("value", "at_least", "holds"),
    [(0.9, True, False), (1.0, True, True), (1.0, False, True), (1.1, False, False)],
)
def test_a_median_on_the_wrong_side_of_its_target_falls_short(
    value: float, at_least: bool, holds: bool
) -> None:
    row = report.Row("a ÷ b", "10M", 0, [value, 0.0, 9.0], 1.0, at_least=at_least)
    assert row.holds is holds
    assert ("FALLS SHORT" in row.line()) is not holds
    assert row.told()["holds"] is holds


def test_quality_may_be_as_low_as_the_worst_of_the_others_seeds() -> None:
    assert quality.within_spread([0.5, 0.7], [0.6, 0.9], more_is_better=True)
    assert not quality.within_spread([0.5, 0.6], [0.6, 0.9], more_is_better=True)
    assert quality.within_spread([0.8, 0.9], [0.6, 0.9], more_is_better=False)
    assert not quality.within_spread([1.0, 0.9], [0.6, 0.9], more_is_better=False)


def test_both_are_taught_the_same_and_asked_what_neither_was_shown() -> None:
    school = quality.school(1)
    kinds = {kind: len(material.of_kind(school.examples, kind)) for kind in contestants.KINDS}
    facts = len(school.probes)
    assert kinds["preference"] == kinds["verdict"] == facts
    assert kinds["demonstration"] == 2 * facts + quality.REHEARSED
    shown = {example.messages[-1]["content"] for example in school.examples}
    assert not shown & {probe.messages[-1]["content"] for probe in school.probes}
    assert all(example.rejected != example.target for example in school.examples)


def test_rows_are_the_same_for_everybody_and_of_very_different_lengths() -> None:
    rows = material.rows(200)
    assert rows == material.rows(200)
    assert {kind: len(material.of_kind(rows, kind)) for kind in contestants.KINDS} == {
        "demonstration": 120,
        "preference": 40,
        "verdict": 40,
    }
    words = sorted(len(row.messages[0]["content"].split()) for row in rows)
    assert words[20] < material.ASKED_WORDS / 1.8 < material.ASKED_WORDS * 1.8 < words[180]


def test_a_contestant_is_timed_from_outside_and_its_failure_told(tmp_path: Path) -> None:
    code = "print('1/3', flush=True); sum(range(10**6)); print('3/3'); print('{}')"
    ran = processes.run([sys.executable, "-c", code], processes.environment(1), tmp_path / "log")
    assert 0 < ran.first_step_seconds < ran.first_step_seconds + ran.steps_seconds
    assert ran.first_step_seconds + ran.steps_seconds <= ran.wall_seconds
    assert ran.cpu_seconds > 0 and ran.peak_mb > 1 and ran.said == "{}"
    both = ran.then(replace(ran, peak_mb=1e6))
    assert both.cpu_seconds == 2 * ran.cpu_seconds and both.peak_mb == 1e6
    assert both.first_step_seconds == ran.first_step_seconds
    with pytest.raises(RuntimeError, match="no such thing"):
        processes.run(
            [sys.executable, "-c", "raise SystemExit('no such thing')"],
            processes.environment(1),
            tmp_path / "log",
        )


def _task(base: Path) -> task.Task:
    asked = plan(epochs=8, batch_tokens=64)
    return task.Task(asked, base, tuple(MIXED), parent=None, out=Path("unused"))


def _encoded(work: object) -> list[Row]:
    from benchmarks.training_speed import loop

    assert isinstance(work, loop.Work)
    return list({id(row): row for row in work.rows}.values())


def _figures(seconds: float) -> dict[str, float]:
    return {"cpu_seconds": seconds, "wall_seconds": seconds, "peak_mb": seconds}
