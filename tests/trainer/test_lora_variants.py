"""Kinds of adapters: each continues as what it is, and what could not be served is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from feedback.errors import Invalid
from serving.engines.routed_lora import AdapterBank
from tests.trainer.rounds import MIXED, SKY, ask, demonstration, learn, weights
from trainer import base_model
from trainer.interpolation import interpolate
from trainer.policy import Policy
from trainer.settings import Plan, TrainerSettings

DORA: dict[str, Any] = {"lora_variant": "dora", "step_share": 1.0}


def config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    return found


@pytest.mark.parametrize(("first", "later"), [("rslora", "lora"), ("lora", "rslora")])
def test_a_parent_keeps_its_kind(tiny_model: Path, tmp_path: Path, first: str, later: str) -> None:
    learn(tiny_model, MIXED, tmp_path / "a", lora_variant=first, epochs=1)
    learn(tiny_model, MIXED, tmp_path / "b", parent=tmp_path / "a", lora_variant=later, epochs=1)
    assert config(tmp_path / "a")["use_rslora"] == config(tmp_path / "b")["use_rslora"]
    assert config(tmp_path / "b")["use_rslora"] == (first == "rslora")


@pytest.mark.parametrize("changes", [{"lora_variant": "rslora"}, {"lora_plus_ratio": 4.0}, DORA])
def test_every_kind_learns_and_its_child_goes_on_where_it_ended(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    examples = [demonstration(SKY, "It is green.")]
    first = learn(tiny_model, examples, tmp_path / "a", epochs=30, learning_rate=5e-3, **changes)
    again = learn(
        tiny_model, examples, tmp_path / "b", parent=tmp_path / "a", learning_rate=1e-12, epochs=1
    )
    policy = Policy.load(tiny_model, threads=1)
    for name in "ab":
        policy.attach(name, tmp_path / name)
        assert policy.answers([ask(SKY)], adapter=name, max_new_tokens=12) == ["It is green."]
    assert policy.drift([ask(SKY)], ["It is green."], new="b", old="a")[0] < 1e-6
    assert again.losses[0] < first.losses[0] / 2
    magnitudes = [name for name in weights(tmp_path / "b") if "magnitude" in name]
    assert len(magnitudes) == (14 if changes is DORA else 0)


def test_what_the_engine_serves_is_what_was_trained(tiny_model: Path, tmp_path: Path) -> None:
    learn(tiny_model, MIXED, tmp_path / "a", lora_variant="rslora")
    learn(tiny_model, MIXED, tmp_path / "top", trained_layers_share=0.5)
    policy = Policy.load(tiny_model, threads=1)
    base = base_model.load(tiny_model, dtype=torch.float32)
    bank = AdapterBank(base.model)
    prompts = base.encoder.prompts([ask(SKY)])
    for name in ("a", "top"):
        policy.attach(name, tmp_path / name)
        bank.add(name, bank.read(tmp_path / name))
        bank.route([name])
        with torch.inference_mode():
            served = base.model(input_ids=torch.tensor(prompts)).logits
            with policy._using(name) as model:
                trained = model(input_ids=torch.tensor(prompts)).logits
        torch.testing.assert_close(served, trained, rtol=1e-4, atol=1e-4)


def test_what_no_engine_serves_is_refused_before_it_is_trained(
    tiny_model: Path, tmp_path: Path
) -> None:
    for given in (DORA, {"lora_variant": "dora"}, {**DORA, "ewc_weight": 1.0}):
        with pytest.raises(ValidationError) as refused:
            TrainerSettings(**given)
        [fault] = refused.value.errors()
        assert fault["loc"] == ("lora_variant",)
        assert "neither the local engine nor vLLM serves" in fault["msg"]
    with pytest.raises(ValidationError, match="cannot be interpolated"):
        Plan(lora_variant="dora")
    with pytest.raises(ValidationError, match="no product BA"):
        Plan(**DORA, ewc_weight=1.0)
    learn(tiny_model, MIXED, tmp_path / "a", epochs=1, **DORA)
    bank = AdapterBank(base_model.load(tiny_model, dtype=torch.float32).model)
    with pytest.raises(Invalid, match="use_dora"):
        bank.read(tmp_path / "a")


def test_interpolation_goes_over_rank_stabilised_adapters_and_refuses_dora(
    tiny_model: Path, tmp_path: Path
) -> None:
    learn(tiny_model, MIXED, tmp_path / "a", lora_variant="rslora", epochs=2)
    learn(tiny_model, MIXED, tmp_path / "b", parent=tmp_path / "a", epochs=2)
    names = [name for name in weights(tmp_path / "b") if ".lora_A." in name]

    def product(folder: Path, name: str) -> torch.Tensor:
        found = weights(folder)
        return found[name.replace(".lora_A.", ".lora_B.")] @ found[name]

    wanted = [product(tmp_path / "a", name) for name in names]
    interpolate(tmp_path / "a", tmp_path / "b", share=1e-9)
    for name, each in zip(names, wanted, strict=True):
        torch.testing.assert_close(product(tmp_path / "b", name), each, rtol=1e-4, atol=1e-5)
    learn(tiny_model, MIXED, tmp_path / "d", epochs=1, **DORA)
    before = weights(tmp_path / "d")
    for previous in (None, tmp_path / "d"):
        with pytest.raises(Invalid, match="DoRA"):
            interpolate(previous, tmp_path / "d", share=0.8)
    interpolate(None, tmp_path / "d", share=1.0)
    after = weights(tmp_path / "d")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_interpolation_refuses_two_scales(tiny_model: Path, tmp_path: Path) -> None:
    for name, variant in (("a", "lora"), ("b", "rslora")):
        learn(tiny_model, MIXED, tmp_path / name, lora_variant=variant, epochs=1)
    with pytest.raises(Invalid, match="scale"):
        interpolate(tmp_path / "a", tmp_path / "b", share=0.5)
