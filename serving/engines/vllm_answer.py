"""One answer that vLLM makes: what vLLM is asked, and how its pieces reach their reader.

Knows nothing of templates, of which adapters are loaded or of when vLLM is away.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any
from uuid import uuid4

from feedback.errors import HeedError, Invalid, Unavailable
from serving.engines import limits, vllm_extras
from serving.engines.base import Chunk, GenerationRequest, TokenLogprob
from serving.engines.due_logprobs import DueLogprobs
from serving.engines.reading import Reading
from serving.engines.token_bytes import TokenBytes
from serving.engines.vllm_client import Lost, Piece
from serving.engines.vllm_link import VllmLink

log = logging.getLogger("heed.vllm")

_PASSED_ON = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "constraint",
)


class VllmAnswer:
    """One answer on its way.

    Args:
        request: what is asked.
        model: vLLM's name for the model, or the adapter, that answers it to its end.
        context_tokens: prompt and answer together at most.
        token_bytes: the bytes of a single token, for log-probabilities.

    Attributes:
        body: what vLLM's ``/v1/completions`` is asked.
        fault: what the reader is told where the answer is broken off.

    Raises:
        Invalid: `max_tokens` does not fit, or the request asks for what vLLM is not told.
    """

    def __init__(
        self, request: GenerationRequest, model: str, context_tokens: int, token_bytes: TokenBytes
    ) -> None:
        self.body = _body(request, model, context_tokens)
        self.queue: asyncio.Queue[Chunk | HeedError] = asyncio.Queue()
        self._token_bytes = token_bytes
        self._due = DueLogprobs()
        self.begun = False
        self.finished = False
        self.fault: HeedError = Unavailable("The answer was broken off. Ask again.")

    def take(self, piece: Piece) -> None:
        """Hand over the next piece, with the log-probabilities that belong to its text."""
        chunk, spell = piece.chunk, self._token_bytes
        for each in piece.told:
            top = tuple(TokenLogprob(spell(token), logprob) for token, logprob in each.top)
            token = TokenLogprob(spell(each.token), each.logprob, top)
            self._due.add(token, hidden=each.token in spell.hidden)
        whole = chunk.finish_reason is not None and not piece.is_cut
        chunk = replace(chunk, logprobs=self._due.told(chunk.text, whole=whole))
        self.begun, self.finished = True, chunk.finish_reason is not None
        self.queue.put_nowait(chunk)

    def end(self, task: "asyncio.Task[None]") -> None:
        """Tell the reader how the task that read it ended, unless the reader has it all."""
        fault = None if task.cancelled() else task.exception()
        if self.finished:
            return
        if fault is not None and not isinstance(fault, HeedError):
            log.error("an answer of vLLM could not be read", exc_info=fault)
            fault = Unavailable("vLLM answered in a way that Heed cannot read; its log says more.")
        self.queue.put_nowait(fault or self.fault)


async def send(link: VllmLink, answer: VllmAnswer) -> None:
    """Let vLLM answer; once more if it was away and nothing has been said yet."""
    try:
        await _relay(link, answer)
    except Lost:
        if answer.begun:
            raise
        try:
            await link.reconnect()
        except Invalid as fault:  # vLLM's, not the request's
            raise Unavailable(fault.message) from fault
        await _relay(link, answer)


def read(answer: VllmAnswer, task: "asyncio.Task[None]") -> AsyncIterator[Chunk]:
    """Yield the pieces that `task` hands over; leaving this early ends the task."""
    loop = task.get_loop()

    def leave() -> None:
        # The task closes the connection, for an await here would be cancelled with its reader. By
        # way of the loop: what is forgotten is collected on any thread.
        if not answer.finished and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    return Reading(answer.queue, leave)


async def _relay(link: VllmLink, answer: VllmAnswer) -> None:
    async with contextlib.aclosing(link.client.answer(answer.body)) as pieces:
        async for piece in pieces:
            answer.take(piece)


def _body(request: GenerationRequest, model: str, context_tokens: int) -> dict[str, Any]:
    """What vLLM's ``/v1/completions`` is asked."""
    asked = request.sampling
    for each in fields(asked):
        if each.name not in _PASSED_ON and getattr(asked, each.name) != each.default:
            raise Invalid(
                f"The vLLM engine cannot honour `{each.name}`. Leave it out, or set serving.engine "
                "to local.",
                param=each.name,
            )
    body = {
        "model": model,
        "prompt": list(request.prompt.token_ids),
        "max_tokens": limits.answer_tokens(request.prompt, asked, context_tokens),
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stop": list(asked.stop),
        # Left out, these would come from the model's generation_config.json on vLLM's side.
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "request_id": f"{request.request_id}-{uuid4().hex[:8]}",
    }
    if asked.seed is not None:
        body["seed"] = asked.seed
    return body | vllm_extras.asked(asked)
