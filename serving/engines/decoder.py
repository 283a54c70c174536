"""The model and the rows it is answering: join, step, leave (torch).

A decode loop of our own instead of ``generate``: rows join and leave between steps, so a short
answer never waits for a long one. Knows nothing of threads, text or who is asking.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils import logging

from feedback.errors import Invalid
from serving.engines.answer import Row
from serving.engines.base import BASE
from serving.engines.routed_lora import Adapter, AdapterBank
from serving.engines.sampling import choose
from serving.engines.slots import Slots

_ATTENTION = {"full_attention", "sliding_attention"}


class Decoder:
    """A base model with its adapters, and the rows in flight. One thread owns it.

    Args:
        folder: safetensors weights and config of the base model.
        threads: CPU threads to compute with, for the whole process.
        dtype: name of a torch dtype.

    Raises:
        Invalid: the folder holds no model that can be served; says why.
    """

    def __init__(self, folder: Path, *, threads: int, dtype: str) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model: Any = _load(folder, dtype).to(self._device).eval()
        self._slots = Slots()
        self.bank = AdapterBank(self._model)
        self.rows: list[Row] = []

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end an answer, as the model's own generation config names them."""
        end = self._model.generation_config.eos_token_id
        return frozenset([end] if isinstance(end, int) else end or [])

    @property
    def context_tokens(self) -> int | None:
        """Positions the model was made for, where its config says so."""
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        return limit if isinstance(limit, int) else None

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """Compute the prompts of new rows together and choose each one's first token.

        An exception leaves the rows already in flight as they were.
        """
        lengths = [len(row.prompt) for row in rows]
        longest = max(lengths)
        ids = [[0] * (longest - len(row.prompt)) + list(row.prompt) for row in rows]
        padding = torch.tensor([[longest - length] for length in lengths])
        positions = torch.arange(longest)[None] - padding
        mask = positions >= 0 if min(lengths) < longest else None
        prefilled = DynamicCache()
        tokens = self._forward(rows, torch.tensor(ids), positions.clamp(min=0), mask, prefilled)
        self._slots.join(prefilled, lengths)
        self.rows.extend(rows)
        _take(rows, tokens)

    @torch.inference_mode()
    def step(self) -> None:
        """Choose the next token of every row.

        After an exception the rows in flight cannot go on; `clear` them.
        """
        self._slots.open_column()
        ids = torch.tensor([[row.token] for row in self.rows])
        positions = torch.tensor([[length] for length in self._slots.lengths])
        mask = self._slots.padding_mask()
        tokens = self._forward(self.rows, ids, positions, mask, self._slots.cache)
        self._slots.close_column()
        _take(self.rows, tokens)

    @torch.inference_mode()
    def leave(self, rows: Iterable[Row]) -> None:
        """Free the places of rows that have ended."""
        for row in rows:
            slot = self.rows.index(row)
            self._slots.leave(slot)
            last = self.rows.pop()
            if last is not row:
                self.rows[slot] = last

    def clear(self) -> None:
        """Drop all rows and what is cached for them."""
        self.rows, self._slots = [], Slots()

    @torch.inference_mode()
    def adopt(self, adapter_id: str, adapter: Adapter) -> None:
        """Make an adapter available, once it has shown that it computes beside the base model.

        Raises:
            Invalid: a pass through it fails, or does not give numbers. It is not kept.
        """
        self.bank.add(adapter_id, adapter)
        try:
            self.bank.route([adapter_id, BASE])
            # A handful of tokens: one alone may be the padding, whose embedding is all zeros.
            ids = torch.arange(8, device=self._device).expand(2, -1)
            logits = self._model(input_ids=ids, use_cache=False).logits
            why = None if logits.isfinite().all() else "its answers are not finite numbers"
        except (RuntimeError, ValueError, IndexError) as error:
            why = str(error)
        if why:
            self.bank.remove(adapter_id)
            raise Invalid(f"Adapter {adapter_id} does not work on this base model: {why}.")

    def _forward(
        self,
        rows: Sequence[Row],
        ids: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        cache: object,
    ) -> list[int | None]:
        self.bank.route([row.adapter for row in rows])
        logits = self._model(
            input_ids=ids.to(self._device),
            position_ids=positions.to(self._device),
            attention_mask=None if mask is None else mask.to(self._device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return choose(logits, rows)


def _load(folder: Path, dtype: str) -> Any:
    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            attn_implementation="sdpa",
            local_files_only=True,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise Invalid(
            f"The base model in {folder} cannot be loaded: {error} Point base_model at a folder "
            "with config.json and safetensors weights of a causal language model.",
            param="base_model",
        ) from error
    layers = set(getattr(model.config.get_text_config(), "layer_types", None) or _ATTENTION)
    if layers - _ATTENTION:
        raise Invalid(
            f"The base model in {folder} has layers of kind {', '.join(sorted(layers - _ATTENTION))}; "
            "the local engine serves attention only. Serve it with the vllm engine.",
            param="base_model",
        )
    return model


def _take(rows: Sequence[Row], tokens: Sequence[int | None]) -> None:
    for row, token in zip(rows, tokens, strict=True):
        row.token = token
