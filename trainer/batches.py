"""Rows become tensors, and the model's log-probabilities of their branches come back.

The prompt of a row is computed once: its branches follow it in the same line, each seeing the
prompt and itself only. Logits are computed where a token of an answer is predicted, nowhere else.
Knows no objective.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.packing import by_length
from trainer.rows import Row


@dataclass(frozen=True)
class Batch:
    """Lines of tokens with the positions that predict answers.

    Shapes: L lines of T tokens, S scored tokens, B branches.

    Attributes:
        rows: the rows, in order; their branches are numbered through.
        input_ids: (L, T) padded on the right.
        position_ids: (L, T), or None where every line has one branch.
        attention_mask: (L, 1, T, T), true where a token may look, or None where lines are
            causal; padding on the right is behind every token that counts.
        at: (S,) index into the flattened lines of the position that predicts the token.
        targets: (S,) ids of the predicted tokens.
        owner: (S,) the branch of each scored token.
        first: (rows,) number of each row's first branch.
        branches: B.
        tokens: tokens that are not padding.
        part: which part of its step it belongs to, where a step comes in parts.
    """

    rows: tuple[Row, ...]
    input_ids: Tensor
    position_ids: Tensor | None
    attention_mask: Tensor | None
    at: Tensor
    targets: Tensor
    owner: Tensor
    first: tuple[int, ...]
    branches: int
    tokens: int
    part: int = 0

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        if self.input_ids.device == device:
            return self
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: v.to(device) for name, v in moved.items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def collate(rows: Sequence[Row], *, pad: int = 0, share: bool = True) -> Batch:
    """Tensors of the rows.

    Args:
        rows: at least one.
        pad: id of the padding; it is never looked at.
        share: compute a row's prompt once for all its branches. Off for models whose layers
            cannot be told by a mask what not to see (state spaces, sliding windows).
    """
    ids: list[list[int]] = []
    spans: list[tuple[int, list[int]]] = []  # prompt length, lengths of the branches in the line
    first, targets, owner, at = [0], [], [], []
    for row in rows:
        first.append(first[-1] + len(row.branches))
        for line in [row.branches] if share else [[b] for b in row.branches]:
            ids.append([*row.prompt, *(token for b in line for token in b)])
            spans.append((len(row.prompt), [len(b) for b in line]))
    length = max(map(len, ids))
    branch = 0
    for number, (line_ids, (prompt, branches)) in enumerate(zip(ids, spans, strict=True)):
        start = prompt
        for tokens in branches:
            here = number * length
            at += [here + prompt - 1, *range(here + start, here + start + tokens - 1)]
            targets += line_ids[start : start + tokens]
            owner += [branch] * tokens
            start += tokens
            branch += 1
    forked = any(len(branches) > 1 for _, branches in spans)
    positions, mask = _fork(spans, length) if forked else (None, None)
    return Batch(
        rows=tuple(rows),
        input_ids=torch.tensor([line + [pad] * (length - len(line)) for line in ids]),
        position_ids=positions,
        attention_mask=mask,
        at=torch.tensor(at),
        targets=torch.tensor(targets),
        owner=torch.tensor(owner),
        first=tuple(first[:-1]),
        branches=branch,
        tokens=sum(map(len, ids)),
    )


def answer_logits(model: Any, batch: Batch) -> Tensor:
    """Logits (S, vocabulary) at the positions that predict answers, in fp32.

    The model's own forward runs, so whatever it does to its logits is done; only the input of its
    head is narrowed.
    """

    with _narrowed(model.get_output_embeddings(), batch.at):
        output = model(**given_to(batch))
    logits: Tensor = output.logits
    return logits.float()


def given_to(batch: Batch) -> dict[str, Any]:
    """What a model is called with for this batch."""
    given = {"attention_mask": batch.attention_mask, "position_ids": batch.position_ids}
    wanted = {name: value for name, value in given.items() if value is not None}
    return {"input_ids": batch.input_ids, "use_cache": False, **wanted}


def branch_log_probs(model: Any, batch: Batch) -> Tensor:
    """Log-probability (B,) of each branch after its prompt, in nats, its end token included."""
    return _per_branch(_token_log_probs(model, batch), batch)


def log_probs_of(logits: Tensor, batch: Batch) -> Tensor:
    """The same (B,) from `answer_logits` (S, vocabulary)."""
    return _per_branch(_of_targets(logits, batch), batch)


def split_log_probs(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """As `branch_log_probs`, and what of it stands beyond the shorter answer of a preference (B,)."""
    return _split(_token_log_probs(model, batch), batch)


def split_log_probs_of(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The same from `answer_logits` (S, vocabulary)."""
    return _split(_of_targets(logits, batch), batch)


def shares_prompts(model: Any, row: Row, *, tolerance: float) -> bool:
    """Whether the model gives a row's branches the same log-probabilities side by side as apart."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        together = branch_log_probs(model, collate([row]).to(device))
        apart = branch_log_probs(model, collate([row], share=False).to(device))
    return torch.allclose(together, apart, rtol=tolerance, atol=tolerance)


def fill_references(
    model: Any,
    rows: Sequence[Row],
    *,
    budget_tokens: int,
    share: bool,
    before_each: Callable[[], None],
    split: bool = False,
) -> None:
    """Store on the rows the log-probabilities of their branches under the model as it is.

    With `split`, also what of them stands beyond the shorter answer of a preference.
    """
    device = next(model.parameters()).device
    for group in by_length(rows, budget_tokens=budget_tokens):
        before_each()
        batch = collate(group, share=share).to(device)
        beyond: list[float] = []
        with torch.inference_mode():
            if split:
                values, beyond = (each.tolist() for each in split_log_probs(model, batch))
            else:
                values = branch_log_probs(model, batch).tolist()
        for row, first in zip(group, batch.first, strict=True):
            row.reference = values[first : first + len(row.branches)]
            row.reference_beyond = beyond[first : first + len(row.branches)]


def _token_log_probs(model: Any, batch: Batch) -> Tensor:
    """Log-probability (S,) of each scored token, in nats."""
    if getattr(model.get_output_embeddings(), "heed_fused", False):
        from trainer import fused_head

        return fused_head.token_log_probs(model, batch)
    return _of_targets(answer_logits(model, batch), batch)


def _of_targets(logits: Tensor, batch: Batch) -> Tensor:
    return -functional.cross_entropy(logits, batch.targets, reduction="none")


def _split(tokens: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    beyond = [
        at >= shortest
        for row in batch.rows
        for shortest in [min(map(len, row.branches)) if row.kind == "preference" else math.inf]
        for branch in row.branches
        for at in range(len(branch))
    ]
    there = torch.tensor(beyond, device=tokens.device)
    return _per_branch(tokens, batch), _per_branch(tokens * there, batch)


def _per_branch(tokens: Tensor, batch: Batch) -> Tensor:
    return tokens.new_zeros(batch.branches).index_add(0, batch.owner, tokens)


_asked = threading.local()
_installing = threading.Lock()


@contextmanager
def _narrowed(head: Any, at: Tensor) -> Iterator[None]:
    """Let a model's head see these positions only, in this thread: others use it meanwhile."""
    with _installing:
        if not hasattr(head, "heed_narrow"):
            head.heed_narrow = head.register_forward_pre_hook(_narrow)
    _asked.at = at
    try:
        yield
    finally:
        _asked.at = None


def _narrow(_head: object, inputs: tuple[Tensor, ...]) -> Tensor | None:
    at: Tensor | None = getattr(_asked, "at", None)
    return None if at is None else inputs[0].flatten(0, 1).index_select(0, at)


def _fork(spans: list[tuple[int, list[int]]], length: int) -> tuple[Tensor, Tensor]:
    """Positions and mask of lines whose branches must not see each other.

    A branch continues where the prompt ends, whatever stands between. Padding looks at padding,
    so that no token looks at nothing.
    """
    positions, segments = [], []
    for prompt, branches in spans:
        rest = length - prompt - sum(branches)
        positions.append(
            [*range(prompt), *(p for n in branches for p in range(prompt, prompt + n)), *[0] * rest]
        )
        segments.append(
            [0] * prompt + [s + 1 for s, n in enumerate(branches) for _ in range(n)] + [-1] * rest
        )
    segment = torch.tensor(segments)
    seen, looking = segment[:, None, :], segment[:, :, None]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    mask = causal & ((seen == 0) | (seen == looking))
    return torch.tensor(positions), mask[:, None]
