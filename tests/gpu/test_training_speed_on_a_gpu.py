"""The GPU's row of the training benchmark: both contestants take all their steps there."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.training_speed import contestants
from benchmarks.training_speed.contestants import Race
from tests.trainer.rounds import MIXED, plan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_both_contestants_run_on_the_gpu(tiny_model: Path, tmp_path: Path) -> None:
    examples = tuple(
        replace(example, target=f"{example.target} {number}")
        for number in range(8)
        for example in MIXED
    )
    asked = plan(epochs=1, batch_tokens=64, precision="auto")
    race = contestants.prepare(Race(tiny_model, tmp_path / "race", examples, asked, on_gpu=True))
    ours, theirs = contestants.ours(race), contestants.trl(race)
    assert ours.first_step_seconds > 0 and theirs.first_step_seconds > 0
    for adapter in contestants.adapters(race).values():
        assert (adapter / "adapter_model.safetensors").is_file()
