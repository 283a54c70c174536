"""What reaches the lowest layer that learns, computed once per row and kept.

Below that layer nothing changes while a round trains, so a row's states there are the same in every
epoch. They are kept in half precision, and later passes start from them. Knows no objective and no
optimizer; works for any model made of a list of blocks that hand one tensor on.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from feedback.errors import Invalid
from trainer import layers
from trainer.batches import Batch, answer_logits, branch_log_probs, collate
from trainer.packing import Step, by_length
from trainer.rows import Row

# A row that is used less often than this is not worth its memory.
_WORTH_USES = 1.5
_LARGEST_FP16 = 6e4


class LowerActivations:
    """The kept states of one model; made by `kept`."""

    def __init__(self, blocks: Sequence[nn.Module], first: int, dtype: torch.dtype) -> None:
        form = _Form()
        self._lower = [_Passage(block, form) for block in blocks[:first]]
        self._upper = [_Passage(block, form) for block in blocks[first:]]
        self._dtype = dtype
        self._states: dict[int, tuple[Row, list[Tensor]]] = {}  # the row keeps its id from others

    def __len__(self) -> int:
        return len(self._states)

    @property
    def bytes(self) -> int:
        """Memory that the states take."""
        return sum(each.nbytes for _, lines in self._states.values() for each in lines)

    def settle(self) -> None:
        """No dropout below: it would be drawn once, and never again."""
        for passage in self._lower:
            passage.block.eval()

    @contextmanager
    def given(self, batch: Batch) -> Iterator[None]:
        """Start from what is kept, in this thread, where every row of the batch is known."""
        states = self._padded(batch)
        if states is None:
            yield
            return
        with _standing_in(self._lower), self._upper[0].receiving(states):
            yield

    def fill(
        self,
        model: Any,
        rows: Sequence[Row],
        *,
        budget_tokens: int,
        share: bool,
        before_each: Callable[[], None],
    ) -> None:
        """Compute the states of these rows, and check once that they do stand in.

        Args:
            model: in evaluation mode.
            rows: those that will be trained on.
            budget_tokens: padded tokens of one batch.
            share: whether the branches of a row share their prompt in one line.
            before_each: called before every batch; may raise to stop.

        Raises:
            Invalid: this model computes something else when it starts from them.
        """
        device = next(model.parameters()).device
        for group in by_length(rows, budget_tokens=budget_tokens):
            before_each()
            batch = collate(group, share=share).to(device)
            with (
                torch.no_grad(),
                _standing_in(self._upper),
                self._upper[0].capturing() as seen,
            ):
                answer_logits(model, batch)
            self._keep(batch, seen[0])
        # One row tells: a short one, with as many branches as there are.
        telling = min(rows, key=lambda row: (-len(row.branches), row.tokens))
        with torch.no_grad():
            self._check(model, collate([telling], share=share).to(device))

    def _keep(self, batch: Batch, states: Tensor) -> None:
        line = 0
        lengths = _lengths(batch)
        for row, several in zip(batch.rows, lengths, strict=True):
            kept = []
            for length in several:
                state = states[line, :length]
                wide = self._dtype == torch.float16 and bool(state.abs().max() > _LARGEST_FP16)
                kept.append(state.to("cpu", torch.float32 if wide else self._dtype).clone())
                line += 1
            self._states[id(row)] = (row, kept)

    def _padded(self, batch: Batch) -> Tensor | None:
        """States (lines, tokens, width), zero where there is padding."""
        found: list[Tensor] = []
        for row in batch.rows:
            known = self._states.get(id(row))
            if known is None:
                return None
            found += known[1]
        if len(found) != batch.input_ids.shape[0]:
            return None  # collated otherwise than when the cache was filled
        device = batch.input_ids.device
        padded = nn.utils.rnn.pad_sequence([s.float() for s in found], batch_first=True)
        return padded.to(device)

    def _check(self, model: Any, batch: Batch) -> None:
        whole = branch_log_probs(model, batch)
        with self.given(batch):
            upper = branch_log_probs(model, batch)
        # Looser than the 1e-5 that is usual, since the whole may be computed in bf16.
        if not torch.allclose(whole, upper, rtol=2e-2, atol=2e-2):
            raise Invalid(
                "This base model's upper layers need more than what the lower ones hand on, so "
                "their activations cannot be kept. Set trainer.lower_activations to off.",
                param="lower_activations",
            )


@contextmanager
def kept(
    model: Any, schedule: Sequence[Step], *, share: float, precision: str
) -> Iterator[LowerActivations | None]:
    """Prepare a model for starting from kept states while this lasts; None where it does not pay.

    Args:
        model: with its adapter.
        schedule: what is going to be trained on.
        share: of the layers, from the top, that learn.
        precision: of what is kept, fp16 or fp32; off keeps nothing.

    Raises:
        Invalid: the model's layers cannot be told apart.
    """
    if share == 1 or precision == "off":
        yield None
        return
    _, found = layers.blocks(model)
    first = layers.first_trained(len(found), share)
    uses = [id(row) for step in schedule for batch in step for row in batch]
    if first == 0 or len(uses) < _WORTH_USES * len(set(uses)):
        yield None
        return
    lower = LowerActivations(found, first, torch.float16 if precision == "fp16" else torch.float32)
    passages = lower._lower + lower._upper
    for passage in passages:
        passage.install()
    try:
        yield lower
    finally:
        for passage in passages:
            passage.remove()


def given(lower: LowerActivations | None, batch: Batch) -> Any:
    """A context in which the batch is computed from what is kept, where anything is."""
    return nullcontext() if lower is None else lower.given(batch)


class _Form:
    """What blocks of this kind return: how many things, or 0 for a tensor alone."""

    def __init__(self) -> None:
        self.tuple_of = 0


class _Passage:
    """A block that can be passed by, that can be handed another input, and that can tell its own.

    Which of these happens is a matter of the thread: batches are computed side by side.
    """

    def __init__(self, block: nn.Module, form: _Form) -> None:
        self.block = block
        self._form = form
        self._here = threading.local()
        self._forward = block.forward

    def install(self) -> None:
        self.block.forward = self._pass

    def remove(self) -> None:
        del self.block.forward

    def skip(self, yes: bool) -> None:
        self._here.skip = yes

    @contextmanager
    def receiving(self, states: Tensor) -> Iterator[None]:
        self._here.given = states
        try:
            yield
        finally:
            self._here.given = None

    @contextmanager
    def capturing(self) -> Iterator[list[Tensor]]:
        seen: list[Tensor] = []
        self._here.seen = seen
        try:
            yield seen
        finally:
            self._here.seen = None

    def _pass(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        given: Tensor | None = getattr(self._here, "given", None)
        if given is not None:
            hidden_states = given.to(hidden_states.dtype)
        seen: list[Tensor] | None = getattr(self._here, "seen", None)
        if seen is not None:
            seen.append(hidden_states)
        if getattr(self._here, "skip", False):
            others = self._form.tuple_of - 1
            return hidden_states if others < 0 else (hidden_states, *[None] * others)
        result = self._forward(hidden_states, *args, **kwargs)
        self._form.tuple_of = len(result) if isinstance(result, tuple) else 0
        return result


@contextmanager
def _standing_in(passages: Sequence[_Passage]) -> Iterator[None]:
    """Pass these blocks by, in this thread."""
    for passage in passages:
        passage.skip(True)
    try:
        yield
    finally:
        for passage in passages:
            passage.skip(False)


def _lengths(batch: Batch) -> list[list[int]]:
    """Tokens of each line, by row."""
    together = batch.input_ids.shape[0] == len(batch.rows)
    return [
        [row.tokens] if together else [len(row.prompt) + len(b) for b in row.branches]
        for row in batch.rows
    ]
