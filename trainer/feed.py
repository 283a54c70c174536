"""What the Trainer takes for a data loader: the batches of one optimizer step after another.

Where several processes train together each sees its own batches of a step, and all rows that the
step is made of. Knows no model and no objective.
"""

from collections.abc import Iterator

from trainer.batches import Batch, collate
from trainer.distributed import Group
from trainer.packing import Step
from trainer.rows import Row


class Share(list[Batch]):
    """This process's batches of a step, and all rows that the step is made of."""

    rows: list[Row]


def rows_of(step: list[Batch]) -> list[Row]:
    """All rows of a step, whichever process computes them: what its denominators count."""
    return step.rows if isinstance(step, Share) else [row for batch in step for row in batch.rows]


class Feed:
    """What the Trainer takes for a data loader: one item per optimizer step."""

    def __init__(self, schedule: list[Step], *, pad: int, share: bool, group: Group | None) -> None:
        self._schedule, self._pad, self._share, self._group = schedule, pad, share, group

    def __len__(self) -> int:
        return len(self._schedule)

    def __iter__(self) -> Iterator[list[Batch]]:
        for step in self._schedule:
            own = step if self._group is None else self._group.share(step)
            item = Share(collate(rows, pad=self._pad, share=self._share) for rows in own)
            item.rows = [row for rows in step for row in rows]
            yield item
