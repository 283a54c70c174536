"""Holds a round to what the model said before it: divergence from the start on replayed answers.

Learning without forgetting (Li and Hoiem, 2017, https://arxiv.org/abs/1606.09282) keeps the answers
of the previous model as soft targets beside the new task's. Here they are the distributions of the
adapter that the round continues, at the answers' positions of what is replayed; they never change
while it trains, so they are computed once. Knows no objective but this one, and no trainer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.batches import Batch, answer_logits, collate
from trainer.objectives import is_replayed
from trainer.packing import by_length
from trainer.rows import Row

NAME = "retention"
"""What the objective is called beside the kinds of examples."""
_FULL_VOCABULARY = 4096
"""Up to this size the whole distribution is kept, beyond it the most likely tokens."""
_TOP = 64

_Key = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class _Kept:
    """Log-probabilities (n, k) of one answer's n positions; of which k tokens, or None for all."""

    log_probs: Tensor
    tokens: Tensor | None


class Retention:
    """What the model said when the round started.

    For a vocabulary of more than a few thousand tokens the 64 most likely ones of each position are
    kept, and all others are one: merging outcomes only ever lowers a divergence, so the loss is then
    a lower bound of the exact one, and tight where 64 tokens hold nearly all the probability.

    Args:
        model: as it is when the round starts; nothing about it is changed.
        rows: the round's rows; those that are replayed are kept.
        budget_tokens: padded tokens that are computed at once.
        before_each: called before every batch; may raise to stop.
        full: largest vocabulary of which everything is kept.
    """

    def __init__(
        self,
        model: Any,
        rows: Sequence[Row],
        *,
        budget_tokens: int,
        before_each: Callable[[], None] = lambda: None,
        full: int = _FULL_VOCABULARY,
    ) -> None:
        self._kept: dict[_Key, _Kept] = {}
        device = next(model.parameters()).device
        replayed = {_key(row): row for row in rows if is_replayed(row)}
        for group in by_length(list(replayed.values()), budget_tokens=budget_tokens):
            before_each()
            # Not inference_mode: what it makes cannot take part in a backward pass.
            with torch.no_grad():
                logits = answer_logits(model, collate(group).to(device))
            start = 0
            for row in group:
                end = start + len(row.branches[0])
                said = functional.log_softmax(logits[start:end], dim=-1)
                start = end
                if said.shape[-1] <= full:
                    self._kept[_key(row)] = _Kept(said.clone(), None)
                else:
                    top = said.topk(_TOP, dim=-1)
                    self._kept[_key(row)] = _Kept(top.values, top.indices)

    def loss(self, logits: Tensor, batch: Batch, replayed_tokens: int) -> Tensor | None:
        """Mean KL(start ‖ now) per replayed answer token, in nats; None where nothing is replayed.

        Args:
            logits: (S, vocabulary) of the model in training, as `answer_logits` gives them.
            batch: where they come from.
            replayed_tokens: of the whole step, so that cutting it into batches changes nothing.
        """
        found = [
            _divergence(self._kept[_key(row)], logits[start:end])
            for row, start, end in _answers(batch)
            if is_replayed(row)
        ]
        return torch.stack(found).sum() / replayed_tokens if found else None


def _answers(batch: Batch) -> Iterator[tuple[Row, int, int]]:
    """Each row with where its scored positions start and end."""
    start = 0
    for row in batch.rows:
        end = start + sum(map(len, row.branches))
        yield row, start, end
        start = end


def _divergence(kept: _Kept, logits: Tensor) -> Tensor:
    """Σ over positions of KL(kept ‖ softmax(logits)), in nats."""
    ours = functional.log_softmax(logits, dim=-1)
    if kept.tokens is None:
        return functional.kl_div(ours, kept.log_probs, reduction="sum", log_target=True)
    known = ours.gather(-1, kept.tokens)
    ours = torch.cat([known, _rest(known)], dim=-1)
    theirs = torch.cat([kept.log_probs, _rest(kept.log_probs)], dim=-1)
    return functional.kl_div(ours, theirs, reduction="sum", log_target=True)


def _rest(log_probs: Tensor) -> Tensor:
    """Log-probability (n, 1) of all other tokens together."""
    together = log_probs.logsumexp(dim=-1, keepdim=True).clamp(max=-1e-6)
    return torch.log(-torch.expm1(together))


def _key(row: Row) -> _Key:
    """Rows may be copied on their way into a batch; what they say stays."""
    return tuple(row.prompt), tuple(row.branches[0])
