"""What the Trainer takes for a data loader: the batches of one optimizer step after another.

Where several processes train together each sees its own batches of a step, and all rows that the
step is made of. Knows no model and no objective.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from trainer.batches import Batch
from trainer.course import Course
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
    """What the Trainer takes for a data loader: one item per optimizer step.

    Args:
        course: the steps, each in parts.
        collated: tensors of the rows of one batch.
        group: the processes that share every step, if this is not the only one.
    """

    def __init__(
        self, course: Course, collated: Callable[[Sequence[Row]], Batch], group: Group | None
    ) -> None:
        self._course, self._collated, self._group = course, collated, group

    def __len__(self) -> int:
        return len(self._course)

    def __iter__(self) -> Iterator[list[Batch]]:
        for parts in self._course:
            if self._group is not None:
                yield self.item(
                    [self._group.share([rows for part in parts for rows in part])], parts
                )
            else:
                yield self.item(parts, parts)

    def item(self, own: Sequence[Step], whole: Sequence[Step]) -> Share:
        """Batches of a step's parts, with all rows that the step is made of."""
        item = Share(
            replace(self._collated(rows), part=number)
            for number, part in enumerate(own)
            for rows in part
        )
        item.rows = [row for part in whole for rows in part for row in rows]
        return item
