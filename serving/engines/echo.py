"""An engine without a model: it says what it was told. For tests of everything around an engine.

Deterministic, keeps every promise of the protocol, counts words as tokens. Knows nothing of torch.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

from feedback.errors import Invalid, NotFound, Unavailable
from serving.engines import limits
from serving.engines.base import (
    BASE,
    ChatMessage,
    Chunk,
    EngineHealth,
    Feature,
    FinishReason,
    GenerationRequest,
    Prompt,
    TokenLogprob,
)
from serving.engines.due_logprobs import DueLogprobs
from serving.engines.text_stream import StopStrings

_ROLES = ("system", "user", "assistant")
_WORD = re.compile(r"\s*\S+")


class EchoEngine:
    """See `serving.engines.base.Engine`; answers with the last user message, word by word.

    An adapter other than ``base`` puts ``[its id]`` before the answer, as a word of its own.

    Args:
        context_tokens: words, where each turn costs one more.
        delay_seconds: pause before each word.
    """

    def __init__(self, *, context_tokens: int = 1024, delay_seconds: float = 0.0) -> None:
        self._context_tokens = context_tokens
        self._delay_seconds = delay_seconds
        # The first tokens open a turn of one role; then every word gets the next free one.
        self._words: list[str] = list(_ROLES)
        self._token_of: dict[str, int] = {}
        self._loaded: set[str] = set()
        self._users: Counter[str] = Counter()
        self._ended = asyncio.Event()
        self._started = False

    @property
    def features(self) -> frozenset[Feature]:
        """It is certain of each word, so penalties change nothing."""
        return frozenset({"penalties", "logprobs", "text"})

    @property
    def base_hash(self) -> str:
        """SHA-256 of this engine's name (hex): it has no weights."""
        return hashlib.sha256(b"echo").hexdigest()

    @property
    def context_tokens(self) -> int:
        """Words of prompt and answer together."""
        return self._context_tokens

    async def start(self) -> None:
        """Nothing to load."""
        self._started = True

    async def stop(self) -> None:
        """Requests in flight end with `Unavailable` at their next word."""
        self._started = False
        self._ended.set()

    def prepare(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Count words and turns.

        Raises:
            Invalid: no user has spoken, or no room is left in the context.
        """
        limits.check_characters(messages, self._context_tokens)
        if not any(message["role"] == "user" for message in messages):
            raise Invalid("There is no user message to echo.", param="messages")
        token_ids: list[int] = []
        for message in messages:
            token_ids.append(_ROLES.index(message["role"]))
            token_ids += [self._token(word) for word in _WORD.findall(message["content"])]
        limits.check_prompt(len(token_ids), self._context_tokens)
        return Prompt(tuple(token_ids))

    def prepare_text(self, text: str) -> Prompt:
        """Take a text for what a user said.

        Raises:
            Invalid: no room is left in the context.
        """
        limits.check_length(text, self._context_tokens, param="prompt")
        words = [self._token(word) for word in _WORD.findall(text)]
        limits.check_prompt(len(words) + 1, self._context_tokens, param="prompt")
        return Prompt((_ROLES.index("user"), *words))

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        """Yield the echo, a word a chunk, then an empty chunk with the finish reason.

        Raises:
            Invalid: `max_tokens` is more than the context has left, or less than one.
            NotFound: the adapter is not loaded.
            Unavailable: the engine is not running.
        """
        self._check_started()
        if request.adapter != BASE and request.adapter not in self._loaded:
            raise NotFound(f"Adapter {request.adapter} is not loaded here.", param="model")
        room = limits.answer_tokens(request.prompt, request.sampling, self._context_tokens)
        return self._answer(request, room)

    async def load(self, adapter_id: str, folder: Path) -> None:
        """Take note of an adapter; its weights are not looked at.

        Raises:
            Invalid: the folder holds no adapter_config.json.
        """
        self._check_started()
        if not (folder / "adapter_config.json").is_file():
            raise Invalid(f"{folder.name} is no adapter: it holds no adapter_config.json.")
        self._loaded.add(adapter_id)

    async def unload(self, adapter_id: str) -> None:
        """Forget an adapter once its last request has ended; unknown ids are a no-op."""
        self._loaded.discard(adapter_id)
        while self._started and self._users[adapter_id]:
            self._ended.clear()
            await self._ended.wait()

    def loaded(self) -> frozenset[str]:
        """Ids of the adapters that can answer now."""
        return frozenset(self._loaded)

    def health(self) -> EngineHealth:
        """Ready from start to stop."""
        detail = "ready" if self._started else "not started"
        return EngineHealth(self._started, detail, running=self._users.total())

    async def _answer(self, request: GenerationRequest, max_tokens: int) -> AsyncIterator[Chunk]:
        self._users[request.adapter] += 1
        try:
            words = self._last_user_words(request.prompt)
            if request.adapter != BASE:
                words = [
                    f"[{request.adapter}]",
                    *(f" {words[0].lstrip()}" for _ in words[:1]),
                    *words[1:],
                ]
            reason: FinishReason = "stop" if len(words) <= max_tokens else "length"
            stops, said = StopStrings(request.sampling.stop), 0
            top, due = request.sampling.top_logprobs, DueLogprobs()
            for word in islice(words, max_tokens):
                await asyncio.sleep(self._delay_seconds)
                self._check_started()
                said += 1
                if top is not None:
                    alternatives = (TokenLogprob(word.encode(), 0.0),) if top else ()
                    due.add(TokenLogprob(word.encode(), 0.0, alternatives))
                text = stops.feed(word)
                if text:
                    yield Chunk(text, said, logprobs=due.told(text))
                if stops.found:
                    reason = "stop"
                    break
            rest = stops.finish()
            yield Chunk(rest, said, reason, due.told(rest, whole=not stops.found))
        finally:
            self._users[request.adapter] -= 1
            self._ended.set()

    def _last_user_words(self, prompt: Prompt) -> list[str]:
        words: list[str] = []
        listening = False
        for token in prompt.token_ids:
            if token < len(_ROLES):
                listening = self._words[token] == "user"
                words = [] if listening else words
            elif listening:
                words.append(self._words[token])
        return words

    def _token(self, word: str) -> int:
        if word not in self._token_of:
            self._token_of[word] = len(self._words)
            self._words.append(word)
        return self._token_of[word]

    def _check_started(self) -> None:
        if not self._started:
            raise Unavailable("The engine is not running. Start it, or ask again in a moment.")
