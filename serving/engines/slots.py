"""Keys and values of the running answers: rows come and go between steps, nobody waits (torch).

Two buffers per layer, (slots, heads, columns, head size). Rows fill the first slots, and all end at
the same column, so that a shorter one is padded on the left. Leaving moves one row, joining copies
one row, a step writes one column. Knows nothing of tokens, adapters or requests.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

_SPARE_COLUMNS = 64


class Slots:
    """The keys and values of all rows; `cache` is what a decode step passes to the model."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        """Cached tokens of each row, in slot order."""
        self.begin = self.end = 0
        self.buffers: list[Tensor] = []
        """Keys and values of layer 0, keys and values of layer 1, …"""
        self.cache = Cache(layers=[])

    def join(self, prefilled: DynamicCache, lengths: Sequence[int]) -> None:
        """Add rows whose prompts were computed apart.

        Args:
            prefilled: (new rows, heads, columns, head size) per layer, padded on the left.
            lengths: how many of the columns, from the right, each row really has.
        """
        arrived = [kind for layer in prefilled.layers for kind in (layer.keys, layer.values)]
        if not self.buffers:
            self.buffers = [new.new_zeros(0, new.shape[1], 0, new.shape[3]) for new in arrived]
            self.cache = Cache(layers=[_SlotLayer(self, n) for n in range(len(prefilled.layers))])
        rows, longest = len(self.lengths), max(lengths)
        self._make_room(rows + len(lengths), max(longest, self.end - self.begin))
        begin = min(self.begin, self.end - longest)
        for buffer, new in zip(self.buffers, arrived, strict=True):
            # Padding weighs zero in attention, but zero times a leftover NaN would still be NaN.
            buffer[:rows, :, begin : self.begin] = 0
            for slot, length in enumerate(lengths, start=rows):
                start = self.end - length
                buffer[slot, :, begin:start] = 0
                buffer[slot, :, start : self.end] = new[slot - rows, :, new.shape[2] - length :]
        self.begin = begin
        self.lengths.extend(lengths)

    def leave(self, slot: int) -> None:
        """Remove a row; the last one takes its slot."""
        last = len(self.lengths) - 1
        if slot != last:
            for buffer in self.buffers:
                row = buffer[last, :, self.begin : self.end]
                buffer[slot, :, self.begin : self.end] = row
            self.lengths[slot] = self.lengths[last]
        self.lengths.pop()
        self.begin = self.end - max(self.lengths, default=0)

    def open_column(self) -> None:
        """Make room for the token that the next step adds to every row."""
        self._make_room(len(self.lengths), self.end - self.begin)

    def close_column(self) -> None:
        """Count the column that a step has written; until then the step has left no trace."""
        self.end += 1
        self.lengths = [length + 1 for length in self.lengths]

    def padding_mask(self) -> Tensor | None:
        """(rows, columns + 1), False on padding; None where no row has any."""
        longest = self.end - self.begin
        if min(self.lengths) == longest:
            return None
        device = self.buffers[0].device
        first = torch.tensor([[longest - length] for length in self.lengths], device=device)
        return torch.arange(longest + 1, device=device) >= first

    def _make_room(self, rows: int, columns: int) -> None:
        """Ensure `rows` slots that have `columns` columns up to `end`, and one after it."""
        if not self.lengths:
            self.begin = self.end = columns
        slots, _, capacity, _ = self.buffers[0].shape
        if rows <= slots and columns <= self.end < capacity:
            return
        slots = slots if rows <= slots else max(rows, 2 * slots)
        capacity = columns + max(_SPARE_COLUMNS, columns // 2)
        begin = columns - (self.end - self.begin)
        moved = []
        for old in self.buffers:
            new = old.new_zeros(slots, old.shape[1], capacity, old.shape[3])
            kept = old[: len(self.lengths), :, self.begin : self.end]
            new[: len(self.lengths), :, begin:columns] = kept
            moved.append(new)
        # All or nothing: an allocation that failed above has changed nothing.
        self.buffers, self.begin, self.end = moved, begin, columns


class _SlotLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not type-checked
    """One layer's buffers, seen by the model as a cache of exactly the running rows."""

    def __init__(self, slots: Slots, number: int) -> None:
        super().__init__()
        self._slots = slots
        self._number = number
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        begin, end, rows = self._slots.begin, self._slots.end, len(self._slots.lengths)
        keys, values = self._slots.buffers[2 * self._number : 2 * self._number + 2]
        keys[:rows, :, end : end + 1] = key_states
        values[:rows, :, end : end + 1] = value_states
        return keys[:rows, :, begin : end + 1], values[:rows, :, begin : end + 1]

    def get_seq_length(self) -> int:
        return self._slots.end - self._slots.begin
