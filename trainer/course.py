"""The optimizer steps of a round as they are taken: as planned, or merged and split on the way.

Knows no torch. A step of twice the size is two planned ones as one, a smaller one is a share of one;
so every row is learned as often as the plan says, whatever the size of the steps.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from trainer.faults import OutOfMemory
from trainer.packing import LARGEST_BATCH_TOKENS, Step, batches
from trainer.rows import Row


class Course:
    """Iterated once: yields what each step learns from, in parts.

    A step has one part, or two random halves where the noise of its gradient is to be measured.

    Args:
        planned: the schedule, as `packing.steps` made it.
        largest_tokens: most padded tokens in a batch; cutting a step finer changes neither what
            it learns from nor its loss.
        halves: whether steps come in two halves.
        most: steps grow and shrink up to this factor, by powers of two.
        seed: of the halves.

    Attributes:
        planned: number of planned steps.
        taken: steps taken so far.
        scale: size of the coming steps, in planned steps: a power of two.
        largest_tokens: may be lowered on the way; later batches obey.
    """

    def __init__(
        self,
        planned: Sequence[Step],
        *,
        largest_tokens: int,
        halves: bool = False,
        most: int = 1,
        seed: int = 0,
    ) -> None:
        self._steps = planned
        self.largest_tokens = largest_tokens
        self._halves, self._most, self._seed = halves, most, seed
        self._at = 0  # planned steps that are used up
        self._shares: list[Step] = []  # what is left of the planned step that is being split
        self._split_into = 1
        self.planned = len(planned)
        self.taken = 0
        self.scale = 1.0

    def __len__(self) -> int:
        """The most steps there could be."""
        return self.planned * self._most

    def __iter__(self) -> Iterator[list[Step]]:
        while self._at < self.planned:
            step = self._next()
            self.taken += 1
            yield self._parts(step)

    @property
    def position(self) -> float:
        """How much of the plan is done, in planned steps."""
        if not self._shares:
            return self._at
        return self._at + 1 - len(self._shares) / self._split_into

    @property
    def steps(self) -> int:
        """How many steps there will be, should their size stay."""
        return self.taken + int(-(-(self.planned - self.position) // self.scale))

    def cut(self, rows: Sequence[Row]) -> Step:
        """Batches of these rows, none larger than `largest_tokens`."""
        return batches(rows, largest_tokens=self.largest_tokens)

    def finer(self, parts: Sequence[Step]) -> list[Step]:
        """Cut a step's parts into batches half as large, and every step that is to come.

        Raises:
            OutOfMemory: every batch holds a single row already.
        """
        sizes = [
            (len(batch), len(batch) * max(row.tokens for row in batch))
            for step in parts
            for batch in step
        ]
        largest = max((tokens for rows, tokens in sizes if rows > 1), default=0)
        if not largest:
            longest = max(tokens for _, tokens in sizes)
            raise OutOfMemory(
                f"Memory ran out on a single example of {longest} tokens. Lower trainer.rank, take "
                "a smaller base model, or leave such long conversations out.",
                param="rank",
            )
        self.largest_tokens = max(1, largest // 2)
        return [self.cut(_rows(step)) for step in parts]

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {
            "at": self._at,
            "left": len(self._shares),
            "split_into": self._split_into,
            "taken": self.taken,
            "scale": self.scale,
            "largest_tokens": self.largest_tokens,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another course over the same plan stood."""
        self._at, self.taken = state["at"], state["taken"]
        self.scale, self.largest_tokens = state["scale"], state["largest_tokens"]
        self._split_into = state["split_into"]
        if state["left"]:
            self._shares = self._split(self._steps[self._at])[-state["left"] :]

    def _next(self) -> Step:
        if self._shares or self.scale < 1:
            if not self._shares:
                self._split_into = round(1 / self.scale)
                self._shares = self._split(self._steps[self._at])
                self._split_into = len(self._shares)
            share = self._shares.pop(0)
            self._at += not self._shares
            return share
        several = self._steps[self._at : self._at + int(self.scale)]
        self._at += len(several)
        if len(several) == 1 and self.largest_tokens == LARGEST_BATCH_TOKENS:
            return several[0]
        return self.cut([row for step in several for row in _rows(step)])

    def _split(self, step: Step) -> list[Step]:
        """Like shares: the rows of a step lie ordered by kind and length, and are dealt out."""
        rows = _rows(step)
        shares = [rows[first :: self._split_into] for first in range(self._split_into)]
        return [self.cut(share) for share in shares if share]

    def _parts(self, step: Step) -> list[Step]:
        rows = _rows(step)
        if not self._halves or len(rows) == 1:
            return [step]
        random.Random(f"{self._seed}/{self.taken}").shuffle(rows)
        middle = len(rows) // 2
        return [self.cut(rows[:middle]), self.cut(rows[middle:])]


def _rows(step: Step) -> list[Row]:
    return [row for batch in step for row in batch]
