"""How the learning rate runs, and how a step is cut into batches without changing what it learns."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.rounds import demonstration
from tests.trainer.test_learner import learn
from trainer.examples import Example
from trainer.schedules import triangular
from trainer.settings import Plan
from trainer.trainer_arguments import sft_config

SENTENCES = ("It is green.", "Ana did.", "Seven apples.", "Behind the old market, over there.")
DEMONSTRATIONS = [demonstration(f"What is {n}?", text) for n, text in enumerate(SENTENCES)]


def rates(model: Path, out: Path, **changes: Any) -> list[float]:
    done = learn(model, DEMONSTRATIONS[:1], out, epochs=12, **changes)
    return [step.learning_rate for step in done.curve]


def peaks(values: list[float]) -> int:
    padded = [0.0, *values, 0.0]
    inner = zip(padded, padded[1:], padded[2:], strict=False)
    return sum(before < now >= after for before, now, after in inner)


@pytest.mark.parametrize("schedule", ["cosine_with_restarts", "triangular"])
@pytest.mark.parametrize("cycles", [1, 3])
def test_a_cyclic_rate_rises_as_often_as_it_is_told(
    tiny_model: Path, tmp_path: Path, schedule: str, cycles: int
) -> None:
    found = rates(tiny_model, tmp_path / "a", lr_schedule=schedule, lr_cycles=cycles)
    assert peaks(found) == cycles
    assert min(found) > 0 and 0.9e-2 < max(found) <= 1e-2
    if schedule == "triangular":
        assert min(found) < 0.5e-2


def test_a_triangle_runs_between_a_quarter_of_the_peak_and_the_peak() -> None:
    values = [triangular(step, steps=7, cycles=2) for step in range(9)]
    assert values == pytest.approx([0.25, 0.625, 1.0, 0.625, 0.25, 0.625, 1.0, 0.625, 0.25])


def test_one_cycle_of_cosine_with_restarts_is_cosine(tiny_model: Path, tmp_path: Path) -> None:
    once = rates(tiny_model, tmp_path / "a", lr_schedule="cosine_with_restarts", lr_cycles=1)
    assert once == rates(tiny_model, tmp_path / "b", lr_schedule="cosine")


def test_everything_but_the_plans_wishes_is_switched_off_in_the_trainer(tmp_path: Path) -> None:
    args = sft_config(Plan(), steps=60, scratch=str(tmp_path), tracked=None)
    assert (args.warmup_steps, args.max_grad_norm, args.weight_decay) == (3, 1.0, 0.0)
    assert args.report_to == []
    assert (args.save_strategy, args.logging_strategy) == ("no", "no")


def test_cutting_a_step_finer_changes_no_result(tiny_model: Path, tmp_path: Path) -> None:
    examples = [
        *DEMONSTRATIONS,
        Example("preference", DEMONSTRATIONS[0].messages, "Green.", rejected="I do not know."),
        Example("preference", DEMONSTRATIONS[1].messages, "Ana.", rejected="Somebody else did."),
    ]
    common: dict[str, Any] = {"epochs": 4, "batch_tokens": 400, "learning_rate": 1e-3}
    whole = learn(tiny_model, examples, tmp_path / "whole", **common)
    fine = learn(tiny_model, examples, tmp_path / "fine", micro_batch_tokens=1, **common)
    assert whole.steps == fine.steps == 4
    assert fine.losses == pytest.approx(whole.losses, rel=1e-5)
    assert fine.tokens == whole.tokens
    weights = [
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "fine")
    ]
    for name, tensor in weights[0].items():
        # Adam divides by the gradient's own size, so rounding shows where that is nearly zero.
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=2e-5)
