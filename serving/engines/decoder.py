"""The model and the rows it is answering: join, step, leave (torch).

What every way of batching has in common: a base model, its adapters, and rows whose newest tokens
change from step to step. Knows nothing of threads, text or who is asking.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch

from feedback.errors import Invalid
from serving.engines.answer import Row
from serving.engines.base import BASE, Batching
from serving.engines.routed_lora import Adapter, AdapterBank


class Decoder(ABC):
    """A base model with its adapters, and the rows in flight. One thread owns it.

    Args:
        model: a causal language model of transformers, in place and in evaluation mode.

    Attributes:
        batching: whether rows join while others are in flight.
        reason: why rows do not, where they do not.
        rows: those in flight.
    """

    batching: ClassVar[Batching]
    prefill_tokens: ClassVar[int | None] = None
    """Prompts that one `join` computes at most, padding included; None is any number."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        end = model.generation_config.eos_token_id
        self.end_tokens = frozenset([end] if isinstance(end, int) else end or [])
        """Tokens that end an answer, as the model's own generation config names them."""
        self.bank = AdapterBank(model)
        self.rows: list[Row] = []
        self.reason: str | None = None

    @property
    def context_tokens(self) -> int | None:
        """Positions the model was made for, where its config says so."""
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        return limit if isinstance(limit, int) else None

    @abstractmethod
    def takes(self, row: Row, beside: Sequence[Row]) -> bool:
        """Whether a row may join now, in one `join` with those beside it."""

    @abstractmethod
    def join(self, rows: Sequence[Row]) -> None:
        """Compute the prompts of new rows together and choose each one's first token.

        An exception leaves the rows already in flight as they were.
        """

    @abstractmethod
    def step(self) -> None:
        """Choose the next token of every row.

        After an exception the rows in flight cannot go on; `clear` them.
        """

    @abstractmethod
    def leave(self, rows: Iterable[Row]) -> None:
        """Free the places of rows that have ended."""

    @abstractmethod
    def clear(self) -> None:
        """Drop all rows and what is kept for them."""

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


def take(rows: Sequence[Row], tokens: Sequence[int | None]) -> None:
    """Give each row the token that was chosen for it."""
    for row, token in zip(rows, tokens, strict=True):
        row.token = token
