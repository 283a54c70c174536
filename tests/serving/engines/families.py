"""Tiny random models whose layers are not all attention, or whose attention is of an older make."""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tests.serving.engines import tiny

_PLAIN = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": tiny.CONTEXT_TOKENS,
}
_MAMBA_INSIDE = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "mamba2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 8,
        "num_heads": 4,
        "head_dim": 16,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "lfm2": _PLAIN | {"layer_types": ["conv", "full_attention"]},
    "qwen3_next": _PLAIN
    | {
        "head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "falcon_h1": _PLAIN | _MAMBA_INSIDE | {"mamba_d_ssm": 64, "mamba_n_groups": 1},
    "recurrent_gemma": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "attention_window_size": 64,
    },
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "context_length": tiny.CONTEXT_TOKENS},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": tiny.CONTEXT_TOKENS},
}


def build(family: str, base: Path, folder: Path) -> Path:
    """Write a random model of a family, with the tokenizer of the tiny Llama."""
    shutil.copytree(base, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    (folder / "generation_config.json").unlink()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **FAMILIES[family],
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for weights in model.parameters():
        if weights.dim() > 1:  # as they come, most answers are one token over and over
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    return folder
