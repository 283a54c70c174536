"""The frozen base model: its weights, tokenizer, end tokens and context, loaded from a folder.

Knows nothing of adapters and of training. Nothing is fetched from a hub.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from feedback.errors import Invalid
from trainer import base_folder
from trainer.rows import Encoder


@dataclass(frozen=True)
class BaseModel:
    """A causal language model with what one needs to talk to it."""

    model: Any
    tokenizer: Any
    encoder: Encoder
    ends: frozenset[int]
    pad: int
    context_tokens: int
    parameters: int


def device() -> torch.device:
    """Where models go: the first GPU, or else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def load(folder: Path, *, dtype: torch.dtype) -> BaseModel:
    """Load the model on the device, in evaluation mode.

    Args:
        folder: what `from_pretrained` reads.
        dtype: of the weights, whatever they are stored in.

    Raises:
        Invalid: there is no such model, it is damaged, or it is not made for chat.
    """
    base_folder.check(folder)
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    with base_folder.reading(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    with base_folder.reading(folder, "config or its weights"):
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=dtype, attn_implementation="sdpa", local_files_only=True
        )
    model.to(device()).eval()
    stops = model.generation_config.eos_token_id
    ends = frozenset(stops if isinstance(stops, list) else [stops]) - {None}
    ends |= {tokenizer.eos_token_id} - {None}
    if not ends:
        raise Invalid(f"The base model in {folder} names no end token, so no answer could end.")
    if tokenizer.eos_token_id is None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(min(ends))
    config = model.config.get_text_config()
    return BaseModel(
        model=model,
        tokenizer=tokenizer,
        encoder=Encoder(tokenizer, ends),
        ends=ends,
        pad=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends),
        context_tokens=getattr(config, "max_position_embeddings", None) or 2**31,
        parameters=sum(p.numel() for p in model.parameters()),
    )
