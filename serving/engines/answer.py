"""One answer on its way: what it is to be made of, and what of it can be told.

Knows nothing of torch, of threads or of the other answers in the batch.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from feedback.errors import HeedError, Unavailable
from serving.engines.base import Chunk, Sampling
from serving.engines.text_stream import TextStream

_USUAL_TOKENS = 256


class Row(Protocol):
    """What computing one row of a batch takes.

    Attributes:
        token: the newest token; None where the model's numbers were not finite.
        chance: this row's own source of it.
    """

    prompt: Sequence[int]
    adapter: str
    sampling: Sampling
    chance: random.Random
    token: int | None


@dataclass(eq=False)
class Answer:
    """A row together with its text and its reader.

    Attributes:
        max_tokens: the answer's length at most, resolved against the context.
        end_tokens: tokens that end it.
        queue: where `loop`'s reader waits for chunks, or for the error that ends the answer.
    """

    prompt: Sequence[int]
    adapter: str
    sampling: Sampling
    max_tokens: int
    end_tokens: frozenset[int]
    text: TextStream
    loop: asyncio.AbstractEventLoop
    queue: "asyncio.Queue[Chunk | HeedError]" = field(default_factory=asyncio.Queue)
    token: int | None = None
    made_tokens: int = 0
    cancelled: bool = False
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # Python's generator: the same on every platform and torch version, and cheap to own.
        self.chance = random.Random(self.sampling.seed)

    @property
    def expected_tokens(self) -> int:
        """Prompt and answer together, as far as can be told: most answers end before their limit."""
        return len(self.prompt) + max(self.made_tokens, min(self.max_tokens, _USUAL_TOKENS))

    def next_chunk(self) -> Chunk | HeedError:
        """What the newest token adds; call once for each."""
        if self.token is None:
            return Unavailable(
                f"The model with adapter {self.adapter} gave no usable numbers for this prompt. "
                "Ask again, or name another model."
            )
        self.made_tokens += 1
        if self.token in self.end_tokens:
            return Chunk(self.text.finish(), self.made_tokens, "stop")
        new = self.text.feed(self.token)
        if self.text.stopped:
            return Chunk(new, self.made_tokens, "stop")
        if self.made_tokens >= self.max_tokens:
            return Chunk(new + self.text.finish(), self.made_tokens, "length")
        return Chunk(new, self.made_tokens)


class Outbox:
    """Collects what is new; hands it over with one wake-up per loop, however many answers."""

    def __init__(self) -> None:
        self._items: dict[asyncio.AbstractEventLoop, list[tuple[Answer, Chunk | HeedError]]] = {}

    def put(self, answer: Answer, item: Chunk | HeedError) -> None:
        """Add a piece of an answer."""
        self._items.setdefault(answer.loop, []).append((answer, item))

    def send(self) -> None:
        """Hand over all of it; from any thread."""
        items, self._items = self._items, {}
        for loop, pieces in items.items():
            try:
                loop.call_soon_threadsafe(_deliver, pieces)
            except RuntimeError:  # the loop has closed, and its readers with it
                for answer, _ in pieces:
                    answer.cancelled = True


def _deliver(pieces: Sequence[tuple[Answer, Chunk | HeedError]]) -> None:
    for answer, item in pieces:
        answer.queue.put_nowait(item)
