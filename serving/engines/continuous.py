"""Rows that join and leave between steps, so that a short answer never waits for a long one (torch).

A decode loop of our own over the model's forward pass, with the keys and values in `slots`. It
leans on how transformers speaks to a cache: `self_check` proves it at every start. Knows nothing
of threads, text or who is asking.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from serving.engines.answer import Row
from serving.engines.decoder import Decoder, take
from serving.engines.sampling import choose
from serving.engines.slots import Slots


class ContinuousDecoder(Decoder):
    """See `serving.engines.decoder.Decoder`."""

    batching = "continuous"
    prefill_tokens = 2048  # more would stall the answers in flight

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._slots = Slots()

    def takes(self, row: Row, beside: Sequence[Row]) -> bool:
        """Always."""
        return True

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """See `Decoder.join`."""
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
        take(rows, tokens)

    @torch.inference_mode()
    def step(self) -> None:
        """See `Decoder.step`."""
        self._slots.open_column()
        ids = torch.tensor([[row.token] for row in self.rows])
        positions = torch.tensor([[length] for length in self._slots.lengths])
        mask = self._slots.padding_mask()
        tokens = self._forward(self.rows, ids, positions, mask, self._slots.cache)
        self._slots.close_column()
        take(self.rows, tokens)

    @torch.inference_mode()
    def leave(self, rows: Iterable[Row]) -> None:
        """See `Decoder.leave`."""
        for row in rows:
            slot = self.rows.index(row)
            self._slots.leave(slot)
            last = self.rows.pop()
            if last is not row:
                self.rows[slot] = last

    def clear(self) -> None:
        """See `Decoder.clear`."""
        self.rows, self._slots = [], Slots()

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
