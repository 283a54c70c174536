"""What every engine offers. Knows nothing of HTTP, of the database or of who is asking.

An engine holds one base model and any number of adapters. Each request names the adapter it is
answered by and keeps it from admission to its last token, whatever is loaded or goes live meanwhile.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NotRequired, Protocol, TypedDict

BASE = "base"
"""The name under which the base model answers without any adapter."""

FinishReason = Literal["stop", "length", "cancelled"]

ConstraintKind = Literal["json_object", "json_schema", "tool_calls"]
"""What an answer can have to be: any object, what a schema says, or calls of tools."""

Batching = Literal["continuous", "static"]
"""Whether a request joins the answers in flight at once, or waits until they have ended."""

Feature = Literal["penalties", "logprobs", "structured", "tools", "text"]
"""What not every engine can do; one that can says so in an attribute `features`."""


class ChatMessage(TypedDict):
    """One turn of a conversation, its content already plain text.

    `tool_calls`, `tool_call_id` and `name` are there only where tools are spoken of.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


class Constraint(Protocol):
    """What one answer's tokens must follow; holds state, so each answer has its own."""

    @property
    def finished(self) -> bool:
        """Whether nothing can follow any more."""

    def mask(self, logits: Any) -> None:
        """Set what may not come next to minus infinity, in place.

        Args:
            logits: a tensor of the shape (vocabulary,).
        """

    def take(self, token: int) -> None:
        """Go on with the token that was chosen."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, per request.

    Attributes:
        temperature: 0 is greedy.
        top_p: nucleus mass kept, in (0, 1].
        max_tokens: at most this many new tokens; None fills the context.
        stop: the answer ends before the first of these strings.
        seed: makes this request's own draws reproducible whatever else is in the batch.
        presence_penalty: taken off the logit of each token that this answer holds already.
        frequency_penalty: taken off it once for each time that the answer holds it.
        top_logprobs: tell each token's log-probability and those of so many alternatives; None
            tells nothing.
        constraint: what the answer has to follow, for this answer alone.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int | None = None
    constraint: Constraint | None = field(default=None, compare=False, repr=False)

    @property
    def penalises(self) -> bool:
        """Whether what has been said counts in what is said next."""
        return self.presence_penalty != 0 or self.frequency_penalty != 0

    @property
    def looks_closer(self) -> bool:
        """Whether choosing a token takes more than temperature and nucleus."""
        return self.penalises or self.top_logprobs is not None or self.constraint is not None


@dataclass(frozen=True)
class Prompt:
    """A conversation rendered by the model's chat template, as token ids."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class GenerationRequest:
    """One answer to make.

    Attributes:
        adapter: an adapter id that is loaded, or ``base``.
        chat: whether the prompt is a conversation; else a bare text that is continued.
    """

    request_id: str
    prompt: Prompt
    adapter: str
    sampling: Sampling = field(default_factory=Sampling)
    chat: bool = True


@dataclass(frozen=True)
class TokenLogprob:
    """One token and the model's own log-probability of it, before any sampling parameter.

    Attributes:
        raw: its bytes, which may be part of a character.
        top: the likeliest tokens at this place, the likeliest first; theirs are empty.
    """

    raw: bytes
    logprob: float
    top: tuple["TokenLogprob", ...] = ()


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer; the last one carries the finish reason.

    Attributes:
        text: new text since the previous chunk, possibly empty; never half a character.
        completion_tokens: tokens made so far in this answer, the end token included.
        finish_reason: None until the last chunk.
        logprobs: of the tokens that begin in what has been told by now, where they were asked for.
    """

    text: str
    completion_tokens: int
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class EngineHealth:
    """Whether the engine can answer, and what it holds.

    Attributes:
        detail: for a person to read.
        batching: how answers share the model; None where it is not the engine's own doing.
    """

    ready: bool
    detail: str
    running: int = 0
    waiting: int = 0
    batching: Batching | None = None


async def close(answer: AsyncIterator[Any]) -> None:
    """Free an answer's place now, not when the collector comes by; waits for nothing."""
    aclose = getattr(answer, "aclose", None)
    if aclose is not None:
        await aclose()


class Engine(Protocol):
    """The one protocol; see the module for the promise about adapters.

    An engine that can do more names it in `features` and has, for ``text``,
    ``prepare_text(text) -> Prompt``; for ``tools``, ``prepare_with_tools(messages, tools) ->
    Prompt``; for ``structured``, ``constraint(kind, schema) -> Constraint``, where the schema for
    ``tool_calls`` says which functions (`tools`), whether one has to be called (`must`), whether
    several may be (`many`), and which field of the request asks for it (`field`).
    """

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
