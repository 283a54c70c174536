"""Any causal language model of transformers goes through the learner, whatever its layers are called."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from serving.engines.routed_lora import AdapterBank
from tests.trainer.rounds import LETTER, MIXED, SKY, ask, demonstration, learn, weights
from trainer import base_model
from trainer.examples import Example
from trainer.policy import Policy


def size(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def qwen2(tokenizer: Any) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(
        Qwen2Config(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            initializer_range=0.2,
            tie_word_embeddings=True,
            **size(tokenizer),
        )
    )


def gpt_neox(tokenizer: Any) -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=128,
            initializer_range=0.2,
            **size(tokenizer),
        )
    )


def gpt2(tokenizer: Any) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=128,
            initializer_range=0.2,
            **size(tokenizer),
        )
    )


def saved(build: Callable[[Any], Any], tiny: Path, folder: Path, **how: Any) -> Path:
    """A folder as its author might publish it, with a tokenizer made for chat."""
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    build(tokenizer).save_pretrained(folder, **how)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (tiny / name).exists():
            shutil.copy(tiny / name, folder / name)
    return folder


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
    from transformers import Qwen2Config, Qwen2ForCausalLM

    def large(tokenizer: Any) -> Any:
        config = Qwen2Config(
            hidden_size=1024,
            intermediate_size=2816,
            num_hidden_layers=9,
            num_attention_heads=16,
            num_key_value_heads=4,
            max_position_embeddings=128,
            **size(tokenizer),
        )
        return Qwen2ForCausalLM(config).to(torch.bfloat16)

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
