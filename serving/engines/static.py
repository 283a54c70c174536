"""Batches that begin and end together, by transformers' own `generate` (torch).

For the models whose states our own loop cannot hold. Whoever comes later waits for the longest
answer in flight; a row that has ended is computed on as padding. All else is as in the own loop:
answers stream, every row has its adapter, its seed and its options. Knows nothing of threads, text
or who is asking.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from feedback.errors import Invalid
from serving.engines.answer import Row
from serving.engines.base import BASE
from serving.engines.decoder import Decoder, take
from serving.engines.generation import PADDING_TOKEN, Generation
from serving.engines.sampling import choose
from serving.engines.self_check import Rehearsed, deviation, plainly, rehearsed_rows, tolerance

GROUPINGS: dict[str, Callable[[int, Row], int]] = {
    "padded": lambda number, row: 0,
    # A recurrent model may take padding for text, …
    "by length": lambda number, row: len(row.prompt),
    # … or mix up the rows of any batch (RWKV).
    "apart": lambda number, row: number,
}
"""Number and row → which rows share a tensor; from the best to the last."""

_ROUGHLY = 0.1
"""As far as `generate` may be from a pass without a cache: Zamba 2 is 0.001 off, in float32."""


class StaticDecoder(Decoder):
    """See `serving.engines.decoder.Decoder`.

    Args:
        model: see there; its generation config is emptied.
        reason: why it is not the own loop.

    Attributes:
        grouping: which of `GROUPINGS` leaves this model's numbers what they are alone; tried out.

    Raises:
        Invalid: none does.
    """

    batching = "static"

    def __init__(self, model: Any, reason: str) -> None:
        super().__init__(model)
        self.reason = reason
        # Each request brings its own options. What the model's maker recommends is not among them,
        # and `generate` would apply it to every row.
        model.generation_config = GenerationConfig()
        if (positions := self.context_tokens) is not None:
            model.register_forward_pre_hook(_within(positions), with_kwargs=True)
        self._parts: list[_Part] = []
        self.grouping = self._try_out()

    def takes(self, row: Row, beside: Sequence[Row]) -> bool:
        """Only between two batches."""
        return not self.rows

    @torch.inference_mode()
    def join(self, rows: Sequence[Row]) -> None:
        """See `Decoder.join`; nobody may be in flight."""
        key = GROUPINGS[self.grouping]
        groups: dict[int, list[Row | None]] = {}
        for number, row in enumerate(rows):
            groups.setdefault(key(number, row), []).append(row)
        try:
            for group in groups.values():
                part = _Part(group, Generation(self._model, [row.prompt for row in group if row]))
                self._parts.append(part)
                self._advance(part)
        except BaseException:
            self.clear()
            raise
        self.rows = list(rows)

    @torch.inference_mode()
    def step(self) -> None:
        """See `Decoder.step`."""
        for part in self._parts:
            self._advance(part)

    def leave(self, rows: Iterable[Row]) -> None:
        """See `Decoder.leave`; where the last row of a batch leaves, the batch ends."""
        gone = list(rows)
        self.rows = [row for row in self.rows if row not in gone]
        for part in self._parts:
            part.rows = [None if row in gone else row for row in part.rows]
            if part.ended:
                part.generation.end()
        self._parts = [part for part in self._parts if not part.ended]

    def clear(self) -> None:
        """See `Decoder.clear`."""
        parts, self._parts, self.rows = self._parts, [], []
        for part in parts:
            part.generation.end()

    def _advance(self, part: "_Part") -> None:
        # Each time: an adapter that was adopted since the last step has routed otherwise.
        self.bank.route([BASE if row is None else row.adapter for row in part.rows])
        logits = part.advance()
        places = [place for place, row in enumerate(part.rows) if row is not None]
        rows = [row for row in part.rows if row is not None]
        take(rows, choose(logits if len(rows) == len(part.rows) else logits[places], rows))

    def _try_out(self) -> str:
        """Return the first grouping in which each row gets the numbers that it gets alone."""
        alone, allowed = rehearsed_rows(self._model), tolerance(self._model.dtype)
        found: list[str] = []
        try:
            self._rehearse([[row] for row in alone], "apart")
            off = _worst(alone, [plainly(self._model, row) for row in alone])
        except Exception as error:
            raise _refused(f"cannot answer ({type(error).__name__}: {error})") from error
        if not off <= _ROUGHLY:  # true for NaN
            raise _refused(f"gives other numbers with a cache than without ({off:.2g} off)")
        for grouping in GROUPINGS:
            rows = rehearsed_rows(self._model)
            try:
                self._rehearse([rows], grouping)
            # Of whatever kind: another grouping may do, and else it is told to who starts the engine.
            except Exception as error:  # noqa: BLE001
                found.append(f"{grouping}: {type(error).__name__}: {error}")
                continue
            off = _worst(rows, [row.seen for row in alone])
            if off <= allowed:  # false for NaN
                return grouping
            found.append(f"{grouping}: {off:.2g} off")
        raise _refused(f"gives rows other numbers in a batch than alone ({'; '.join(found)})")

    def _rehearse(self, batches: Sequence[Sequence[Rehearsed]], grouping: str) -> None:
        self.grouping = grouping
        try:
            for batch in batches:
                self.join(batch)
                self.step()
                self.step()
                self.clear()
        finally:
            self.clear()


class _Part:
    """Rows that share a tensor; None where one has left."""

    def __init__(self, rows: list[Row | None], generation: Generation) -> None:
        self.rows = rows
        self.generation = generation
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether all rows have left."""
        return all(row is None for row in self.rows)

    def advance(self) -> torch.Tensor:
        """Return the next logits of every row, (rows, vocabulary)."""
        if not self._begun:
            self._begun = True
            return self.generation.begin()
        tokens = [row.token if row else None for row in self.rows]
        return self.generation.go_on([PADDING_TOKEN if t is None else t for t in tokens])


def _worst(rows: Sequence[Rehearsed], expected: Sequence[Sequence[torch.Tensor]]) -> float:
    return max(deviation(row.seen, each) for row, each in zip(rows, expected, strict=True))


def _refused(why: str) -> Invalid:
    return Invalid(
        f"The base model {why}, so the local engine cannot serve it. Serve it with the vllm engine.",
        param="base_model",
    )


def _within(positions: int) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Keep rows that have ended from running out of the positions that the model knows."""

    def clamp(module: object, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        ids = kwargs.get("position_ids")
        return args, kwargs if ids is None else kwargs | {
            "position_ids": ids.clamp(max=positions - 1)
        }

    return clamp
