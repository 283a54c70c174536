"""Any causal language model of transformers goes through the learner, whatever its layers are called."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.engines.routed_lora import AdapterBank
from tests.trainer.layouts import gpt2, gpt_neox, large, qwen2, saved
from tests.trainer.rounds import LETTER, MIXED, SKY, ask, demonstration, learn, weights
from trainer import base_model
from trainer.examples import Example
from trainer.policy import Policy


@pytest.mark.parametrize("build", [qwen2, gpt_neox, gpt2])
def test_a_layout_of_its_own_learns_and_is_continued(
    tiny_model: Path, tmp_path: Path, build: Callable[[Any], Any]
) -> None:
    folder = saved(build, tiny_model, tmp_path / "base")
    examples = [demonstration(SKY, "It is green."), demonstration(LETTER, "Ana did.")]
    first = learn(folder, examples, tmp_path / "a", epochs=70, layer_decay=0.9)
    second = learn(
        folder,
        [*examples, *MIXED[3:]],
        tmp_path / "b",
        parent=tmp_path / "a",
        epochs=6,
        learning_rate=2e-3,
        trained_layers_share=0.5,
        unfreeze_every_steps=1,
        ewc_weight=1.0,
    )
    assert second.losses[0] < first.losses[0]
    policy = Policy.load(folder, threads=1)
    policy.attach("a", tmp_path / "a")
    said = policy.answers([ask(SKY), ask(LETTER)], adapter="a", max_new_tokens=12)
    assert said == ["It is green.", "Ana did."]
    assert not [name for name in weights(tmp_path / "a") if "embed" in name or "lm_head" in name]


def test_an_adapter_on_transposed_layers_is_served_as_it_was_trained(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = saved(gpt2, tiny_model, tmp_path / "base")
    learn(folder, [demonstration(SKY, "It is green.")], tmp_path / "a", epochs=5)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["fan_in_fan_out"]
    policy = Policy.load(folder, threads=1)
    policy.attach("a", tmp_path / "a")
    base = base_model.load(folder, dtype=torch.float32)
    bank = AdapterBank(base.model)
    bank.add("a", bank.read(tmp_path / "a"))
    ids = torch.tensor(base.encoder.prompts([ask(SKY)]))
    bank.route(["a"])
    with torch.inference_mode():
        served = base.model(input_ids=ids).logits
        with policy._using("a") as model:
            trained = model(input_ids=ids).logits
        bank.route(["base"])
        bare = base.model(input_ids=ids).logits
    torch.testing.assert_close(served, trained, rtol=1e-4, atol=1e-4)
    assert float((served - bare).abs().max()) > 0.1


def test_a_model_of_a_hundred_million_parameters_learns_by_every_objective(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = saved(large, tiny_model, tmp_path / "base")
    assert base_model.load(folder, dtype=torch.bfloat16).parameters >= 100_000_000
    examples = [
        demonstration(SKY, "Green."),
        Example("preference", ask(LETTER), "Ana.", rejected="No."),
        Example("verdict", ask("Where?"), "There.", liked=True),
    ]
    done = learn(folder, examples, tmp_path / "a", epochs=3, learning_rate=1e-3, precision="fp32")
    assert done.losses[-1] < done.losses[0] / 2
    assert set(done.objectives) == {"demonstration", "preference", "verdict"}
    assert len(weights(tmp_path / "a")) == 9 * 7 * 2
