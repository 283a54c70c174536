"""From a folder to a decoder: loads the model and finds out how it can be batched (torch).

The own loop where it proves itself, else static batches, and says why. Knows nothing of requests.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from serving.engines.base import Batching
from serving.engines.continuous import ContinuousDecoder
from serving.engines.decoder import Decoder
from serving.engines.packed_linear import pack
from serving.engines.self_check import disagreement
from serving.engines.static import StaticDecoder
from trainer import base_folder

log = logging.getLogger("heed.engine")

_ATTENTION = {"full_attention", "sliding_attention"}
_MOST_CHARACTERS = 300


def open_decoder(
    folder: Path, *, threads: int, dtype: str, batching: Batching = "continuous"
) -> Decoder:
    """Load a base model, in rows that join and leave at any time if that can be had.

    Args:
        folder: weights and config of the base model.
        threads: CPU threads to compute with, for the whole process.
        dtype: name of a torch dtype.
        batching: ``static`` does not even try the own loop.

    Raises:
        Invalid: the folder holds no model that can be served; says why.
    """
    torch.set_num_threads(threads)
    model, reason = _load(folder, dtype)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    pack(model)
    reason = _other_layers(model) or reason
    if batching == "static":
        reason = "they were asked for"
    if reason is None:
        decoder = ContinuousDecoder(model)
        reason = disagreement(decoder, model)
        if reason is None:
            return decoder
    reason = " ".join(reason.split())[:_MOST_CHARACTERS]
    log.warning(
        "static batches, since %s",
        reason,
        extra={"fields": {"batching": "static", "reason": reason}},
    )
    return StaticDecoder(model, reason)


def _load(folder: Path, dtype: str) -> tuple[Any, str | None]:
    """Return the model, and what speaks against the own loop."""
    transformers_logging.disable_progress_bar()
    with base_folder.reading(folder, "config or its weights"):
        try:
            return _read(folder, dtype, attn_implementation="sdpa"), None
        except ValueError as refused:
            # Also what it raises for an architecture without this kind of attention.
            return _read(folder, dtype), f"it has no sdpa ({_first_sentence(refused)})"


def _read(folder: Path, dtype: str, **more: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        local_files_only=True,
        **more,
    )


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ", 1)[0]


def _other_layers(model: Any) -> str | None:
    layers = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    other = ", ".join(sorted(layers - _ATTENTION))
    return f"the own loop holds no layers of the kind {other}" if other else None
