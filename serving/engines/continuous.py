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

_PASS_PARAMETER_TOKENS = 100_000_000
"""On a CPU, tokens times parameters that take about as long as one more forward pass begins."""


class ContinuousDecoder(Decoder):
    """See `serving.engines.decoder.Decoder`."""

    batching = "continuous"
    prefill_tokens = 2048  # more would stall the answers in flight

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._slots = Slots()
        parameters = sum(weight.numel() for weight in model.parameters())
        self._most_padding = (
            int(_PASS_PARAMETER_TOKENS / parameters) if self._device.type == "cpu" else None
        )

    def takes(self, row: Row, beside: Sequence[Row]) -> bool:
        """Always."""
        return True

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """See `Decoder.join`."""
        groups = of_like_length(rows, self._most_padding)
        computed = [self._prefill(group) for group in groups]
        before = len(self.rows)
        try:
            for group, (prefilled, _) in zip(groups, computed, strict=True):
                self._slots.join(prefilled, [len(row.prompt) for row in group])
        except BaseException:
            for slot in range(len(self._slots.lengths) - 1, before - 1, -1):
                self._slots.leave(slot)
            raise
        for group, (_, tokens) in zip(groups, computed, strict=True):
            self.rows.extend(group)
            take(group, tokens)

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

    def _prefill(self, rows: Sequence[Row]) -> tuple[DynamicCache, list[int | None]]:
        """Compute prompts, padded on the left to one length; also choose the first tokens."""
        lengths = [len(row.prompt) for row in rows]
        longest = max(lengths)
        ids = [[0] * (longest - len(row.prompt)) + list(row.prompt) for row in rows]
        padding = torch.tensor([[longest - length] for length in lengths])
        positions = torch.arange(longest)[None] - padding
        mask = positions >= 0 if min(lengths) < longest else None
        prefilled = DynamicCache()
        tokens = self._forward(rows, torch.tensor(ids), positions.clamp(min=0), mask, prefilled)
        return prefilled, tokens

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


def of_like_length(rows: Sequence[Row], most_padding: int | None) -> list[list[Row]]:
    """Part rows so that padding each part to its longest prompt adds so many tokens at most.

    Args:
        most_padding: of a part, in tokens; None is any number.
    """
    if most_padding is None:
        return [list(rows)]
    parts: list[list[Row]] = []
    padding = 0
    for row in sorted(rows, key=lambda row: -len(row.prompt)):
        if parts:
            padding += len(parts[-1][0].prompt) - len(row.prompt)
        if not parts or padding > most_padding:
            parts.append([])
            padding = 0
        parts[-1].append(row)
    return parts
