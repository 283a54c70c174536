"""One admitted request: what it asks of the engine, how far its answers are, what is logged of it.

Knows nothing of HTTP, of what is admitted, or of how answers look on the wire.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from feedback.errors import HeedError, StorageFull, Unavailable
from feedback.models import Exchange
from serving import openai, tool_calls
from serving.auth import Caller
from serving.context import Heed
from serving.engines.base import ChatMessage, Chunk, GenerationRequest
from serving.openai_replies import Choice, usage
from serving.retries import replace_partial
from serving.several import merged

log = logging.getLogger("heed")

_HELD_TO = ("response_format", "tool_choice", "parallel_tool_calls")
"""The fields that an answer is held to, token by token."""


@dataclass
class Asked:
    """One admitted request: everything its answers and its log entry need.

    Attributes:
        dropped: a retry has taken its place, so it is not logged.
        failed: the engine broke off, for no fault of the request's.
        replaces: the same request, given up by its client, whose log entry this one takes over.
    """

    parts: Heed
    body: openai.Asking
    caller: Caller
    generations: list[GenerationRequest]
    exchange_id: str
    person_id: str
    conversation_id: str | None
    messages: list[ChatMessage]
    origin: str
    calls_tools: bool = False
    created_at: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.perf_counter)
    choices: list[Choice] = field(init=False)
    recorded: bool = False
    dropped: bool = False
    failed: bool = False
    replaces: "Asked | None" = None
    _logging: "asyncio.Future[None] | None" = None

    def __post_init__(self) -> None:
        self.choices = [Choice(index) for index in range(len(self.generations))]

    @property
    def adapter(self) -> str:
        """The version that answers."""
        return self.generations[0].adapter

    @property
    def complete(self) -> bool:
        """Whether every answer has come to its end."""
        return all(choice.finish != "cancelled" for choice in self.choices)

    def answers(self) -> AsyncIterator[tuple[int, Chunk]]:
        """Hand the request to the engine; then yield (choice, piece).

        Raises:
            HeedError: the engine refuses.
        """
        return merged([self.parts.engine.generate(each) for each in self.generations])

    def take(self, index: int, piece: Chunk) -> None:
        """Note a piece of an answer."""
        choice = self.choices[index]
        choice.text += piece.text
        choice.tokens = piece.completion_tokens
        choice.logprobs += piece.logprobs
        choice.finish = piece.finish_reason or choice.finish
        if piece.finish_reason and self.calls_tools:
            _, choice.calls = tool_calls.parse(choice.text)
            choice.finish = "tool_calls" if choice.calls else choice.finish

    def broke(self, fault: Exception) -> bool:
        """Note what ended the answers; returns whether it counts as a failure of who answered."""
        self.failed = not isinstance(fault, HeedError) or fault.code == "unavailable"
        return self.failed

    def usage(self) -> dict[str, int]:
        """Tokens so far, of all answers together; the prompt counts once."""
        prompt_tokens = len(self.generations[0].prompt.token_ids)
        return usage(prompt_tokens, sum(choice.tokens for choice in self.choices))

    def head(self) -> dict[str, Any]:
        """What every event of this answer says about itself."""
        return {
            "id": self.exchange_id,
            "created": int(self.created_at),
            "model": self.body.model,
            "system_fingerprint": self.adapter,
        }

    def take_over(self, earlier: "Asked") -> None:
        """This is `earlier` again: of the two, one log entry stays."""
        if not earlier.recorded:
            earlier.dropped = True
            self.replaces = earlier.replaces
        else:
            self.replaces = earlier
        if self.replaces is not None:
            self.exchange_id = self.replaces.exchange_id

    async def record(self) -> None:
        """Log the exchange, once; returns when it is on the disk.

        Raises:
            Unavailable, StorageFull: it cannot be, and such answers are refused here.
        """
        if self.recorded or self.dropped or self.body.store is False:
            return
        self.recorded = True
        if self.replaces is None:
            self._logging = asyncio.wrap_future(self.parts.intake.record(self._exchange()))
        else:
            self._logging = asyncio.ensure_future(self._replace(self.replaces))
        try:
            await self._logging
        except (Unavailable, StorageFull) as outage:
            if self.parts.settings.serving.unlogged == "refuse":
                raise
            self.parts.metrics.unlogged.inc()
            log.error("%s is answered but not logged: %s", self.exchange_id, outage.message)

    async def _replace(self, earlier: "Asked") -> None:
        if earlier._logging is not None:
            await asyncio.wait([earlier._logging])

        def write() -> None:
            with self.parts.store.session(write=True) as session:
                replace_partial(session, self._exchange(), self.parts.settings.feedback)
                session.commit()

        await asyncio.to_thread(write)

    def _exchange(self) -> Exchange:
        prompt = json.dumps(self.messages, sort_keys=True)
        sampling = self.generations[0].sampling
        counts = self.usage()
        asked = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop),
            "seed": sampling.seed,
        }
        if sampling.penalises:
            asked["presence_penalty"] = sampling.presence_penalty
            asked["frequency_penalty"] = sampling.frequency_penalty
        if sampling.constraint is not None:
            sent = self.body.model_dump(mode="json", by_alias=True)
            asked |= {name: sent[name] for name in _HELD_TO if sent[name] is not None}
        return Exchange(
            id=self.exchange_id,
            conversation_id=self.conversation_id,
            turn=sum(message["role"] == "user" for message in self.messages),
            origin=self.origin,
            key_id=self.caller.key_id,
            person_id=self.person_id,
            people_key_id=self.parts.people.id,
            model=self.body.model,
            adapter_id=self.adapter,
            base_hash=self.parts.engine.base_hash,
            messages=[{**message} for message in self.messages],
            prompt_hash=hashlib.sha256(prompt.encode()).hexdigest(),
            choices=[choice.logged() for choice in self.choices],
            sampling=asked,
            tags=dict(self.body.metadata or {}),
            prompt_tokens=counts["prompt_tokens"],
            completion_tokens=counts["completion_tokens"],
            state="failed" if self.failed else "complete" if self.complete else "partial",
            seconds=time.perf_counter() - self.begun,
            created_at=self.created_at,
        )
