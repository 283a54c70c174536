"""What every engine offers. Knows nothing of HTTP, of the database or of who is asking.

An engine holds one base model and any number of adapters. Each request names the adapter it is
answered by and keeps it from admission to its last token, whatever is loaded or goes live meanwhile.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypedDict

BASE = "base"
"""The name under which the base model answers without any adapter."""

FinishReason = Literal["stop", "length", "cancelled"]


class ChatMessage(TypedDict):
    """One turn of a conversation, its content already plain text."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, per request.

    Attributes:
        temperature: 0 is greedy.
        top_p: nucleus mass kept, in (0, 1].
        max_tokens: at most this many new tokens; None fills the context.
        stop: the answer ends before the first of these strings.
        seed: makes this request's own draws reproducible whatever else is in the batch.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Prompt:
    """A conversation rendered by the model's chat template, as token ids."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class GenerationRequest:
    """One answer to make: `adapter` is an adapter id that is loaded, or ``base``."""

    request_id: str
    prompt: Prompt
    adapter: str
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer; the last one carries the finish reason.

    Attributes:
        text: new text since the previous chunk, possibly empty; never half a character.
        completion_tokens: tokens made so far in this answer, the end token included.
        finish_reason: None until the last chunk.
    """

    text: str
    completion_tokens: int
    finish_reason: FinishReason | None = None


@dataclass(frozen=True)
class EngineHealth:
    """Whether the engine can answer, and what it holds; `detail` is for a person to read."""

    ready: bool
    detail: str
    running: int = 0
    waiting: int = 0


class Engine(Protocol):
    """The one protocol; see the module for the promise about adapters."""

    @property
    def base_hash(self) -> str:
        """SHA-256 that identifies the base model's weights and tokenizer (hex)."""

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together may not exceed this many tokens."""

    async def start(self) -> None:
        """Load and warm up; returns once a first answer has been made.

        Raises:
            Invalid: the base model cannot be loaded; says which path or id, and what to do.
        """

    async def stop(self) -> None:
        """Let go of everything; requests in flight end with an error, never hang."""

    def prepare(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Render a conversation and count it.

        Raises:
            Invalid: the template refuses the messages, or they leave no room in the context.
        """

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        """Yield the answer piece by piece. Closing the iterator early frees the request's place.

        Raises:
            NotFound: the adapter is not loaded.
            Unavailable: the engine has stopped or its worker died.
        """

    async def load(self, adapter_id: str, folder: Path) -> None:
        """Make an adapter available beside those already there; a second call is a no-op.

        Raises:
            Invalid: the folder is no adapter for this base model; says why.
        """

    async def unload(self, adapter_id: str) -> None:
        """Let an adapter go once its last request has ended; unknown ids are a no-op."""

    def loaded(self) -> frozenset[str]:
        """Ids of the adapters that can answer now, ``base`` not among them."""

    def health(self) -> EngineHealth:
        """A look from outside the worker; cheap, never blocks."""
