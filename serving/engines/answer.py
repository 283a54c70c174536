"""One answer on its way: what it is to be made of, and what of it can be told.

Knows nothing of torch, of threads or of the other answers in the batch.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from feedback.errors import HeedError, Unavailable
from serving.engines.base import Chunk, FinishReason, Sampling, TokenLogprob
from serving.engines.due_logprobs import DueLogprobs
from serving.engines.text_stream import TextStream
from serving.engines.token_bytes import TokenBytes

_USUAL_TOKENS = 256


class Told(NamedTuple):
    """A token's log-probability, and (token, log-probability) of the likeliest at its place."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Row(Protocol):
    """What computing one row of a batch takes.

    Attributes:
        token: the newest token; None where there is none: the model's numbers were not finite, or
            `fault` says why.
        chance: this row's own source of it.
        looks_closer: whether what follows is kept for this row.
        said: how often each token is in the answer so far.
        told: the newest token's log-probability.
    """

    prompt: Sequence[int]
    adapter: str
    sampling: Sampling
    chance: random.Random
    token: int | None
    looks_closer: bool
    said: dict[int, int]
    told: Told | None
    fault: HeedError | None


@dataclass(eq=False)
class Answer:
    """A row together with its text and its reader.

    Attributes:
        max_tokens: the answer's length at most, resolved against the context.
        end_tokens: tokens that end it.
        token_bytes: the bytes of a single token; needed where log-probabilities are asked for.
        queue: where `loop`'s reader waits for chunks, or for the error that ends the answer.
    """

    prompt: Sequence[int]
    adapter: str
    sampling: Sampling
    max_tokens: int
    end_tokens: frozenset[int]
    text: TextStream
    loop: asyncio.AbstractEventLoop
    token_bytes: TokenBytes | None = None
    queue: "asyncio.Queue[Chunk | HeedError]" = field(default_factory=asyncio.Queue)
    token: int | None = None
    made_tokens: int = 0
    cancelled: bool = False
    said: dict[int, int] = field(default_factory=dict)
    told: Told | None = None
    fault: HeedError | None = None
    chance: random.Random = field(init=False)
    looks_closer: bool = field(init=False)
    due: DueLogprobs = field(default_factory=DueLogprobs)

    def __post_init__(self) -> None:
        # Python's generator: the same on every platform and torch version, and cheap to own.
        self.chance = random.Random(self.sampling.seed)
        self.looks_closer = self.sampling.looks_closer

    @property
    def expected_tokens(self) -> int:
        """Prompt and answer together, as far as can be told: most answers end before their limit."""
        return len(self.prompt) + max(self.made_tokens, min(self.max_tokens, _USUAL_TOKENS))

    def next_chunk(self) -> Chunk | HeedError:
        """What the newest token adds; call once for each."""
        if self.token is None:
            return self.fault or Unavailable(
                f"The model with adapter {self.adapter} gave no usable numbers for this prompt. "
                "Ask again, or name another model."
            )
        self.made_tokens += 1
        if self.token in self.end_tokens:
            return self._chunk(self.text.finish(), "stop")
        if self.told is not None:
            self._tell(self.told)
        new = self.text.feed(self.token)
        if self.text.stopped:
            return self._chunk(new, "stop")
        if self.sampling.constraint is not None and self.sampling.constraint.finished:
            return self._chunk(new + self.text.finish(), "stop")
        if self.made_tokens >= self.max_tokens:
            return self._chunk(new + self.text.finish(), "length")
        return self._chunk(new)

    def _chunk(self, new: str, reason: FinishReason | None = None) -> Chunk:
        if self.sampling.top_logprobs is None:
            return Chunk(new, self.made_tokens, reason)
        if not new and reason is None:
            return Chunk("", self.made_tokens)  # not handed out
        whole = reason is not None and not self.text.stopped
        return Chunk(new, self.made_tokens, reason, self.due.told(new, whole=whole))

    def _tell(self, told: Told) -> None:
        spell = self.token_bytes
        assert spell is not None
        top = tuple(TokenLogprob(spell(token), logprob) for token, logprob in told.top)
        token = TokenLogprob(spell(told.token), told.logprob, top)
        self.due.add(token, hidden=told.token in spell.hidden)


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
