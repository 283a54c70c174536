"""Random causal models of several layouts, as their authors might publish them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def size(tokenizer: Any) -> dict[str, Any]:
    """What a config says of its tokenizer."""
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


def large(tokenizer: Any) -> Any:
    """More than a hundred million parameters, in bfloat16."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

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
