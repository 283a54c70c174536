"""Answers as clients of OpenAI's API read them: whole, as events of a stream, from the log. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feedback.models import Exchange
from serving import tool_calls
from serving.engines.base import TokenLogprob

_UNLIKELY = -9999.0
"""What OpenAI says instead of minus infinity, which JSON cannot."""


@dataclass
class Choice:
    """One of the answers to a request, as far as it has come."""

    index: int
    text: str = ""
    tokens: int = 0
    finish: str = "cancelled"
    logprobs: list[TokenLogprob] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def logged(self) -> dict[str, Any]:
        """Return what is kept of it: the text as the model wrote it."""
        calls = {"tool_calls": self.calls} if self.calls else {}
        return {"index": self.index, "text": self.text, "finish_reason": self.finish, **calls}


def completion(
    head: Mapping[str, Any], choices: Sequence[Choice], usage: dict[str, int], *, logprobs: bool
) -> dict[str, Any]:
    """Return the body of a whole answer."""
    bodies = [
        _choice(each.logged(), _logprobs(each.logprobs) if logprobs else None) for each in choices
    ]
    return {**head, "object": "chat.completion", "choices": bodies, "usage": usage}


def logged(exchange: Exchange) -> dict[str, Any]:
    """Return the body of an answer that was given earlier, from its log entry."""
    return {
        "id": exchange.id,
        "created": int(exchange.created_at),
        "model": exchange.model,
        "system_fingerprint": exchange.adapter_id,
        "object": "chat.completion",
        "choices": [_choice(choice, None) for choice in exchange.choices],
        "usage": usage(exchange.prompt_tokens, exchange.completion_tokens),
        "metadata": exchange.tags,
    }


def chunk(
    head: Mapping[str, Any],
    index: int | None,
    delta: Mapping[str, Any] | None = None,
    *,
    finish: str | None = None,
    usage: dict[str, int] | None = None,
    logprobs: Sequence[TokenLogprob] | None = None,
) -> dict[str, Any]:
    """Return one event of a stream; without an index it is the closing one that carries usage."""
    choice = {
        "index": index,
        "delta": delta or {},
        "logprobs": None if logprobs is None else _logprobs(logprobs),
        "finish_reason": finish,
    }
    return {
        **head,
        "object": "chat.completion.chunk",
        "choices": [] if index is None else [choice],
        **({"usage": usage} if usage is not None else {}),
    }


def text_completion(
    head: Mapping[str, Any], choices: Sequence[Choice], usage: dict[str, int], *, logprobs: bool
) -> dict[str, Any]:
    """Return the body of a whole continuation."""
    bodies = [
        {
            "index": each.index,
            "text": each.text,
            "logprobs": _text_logprobs(each.logprobs, 0) if logprobs else None,
            "finish_reason": _finish(each.finish),
        }
        for each in choices
    ]
    return {**head, "object": "text_completion", "choices": bodies, "usage": usage}


def text_chunk(
    head: Mapping[str, Any],
    index: int | None,
    text: str = "",
    *,
    finish: str | None = None,
    usage: dict[str, int] | None = None,
    logprobs: Sequence[TokenLogprob] | None = None,
    offset: int = 0,
) -> dict[str, Any]:
    """Return one event of a continuation's stream; `offset` counts characters told before."""
    choice = {
        "index": index,
        "text": text,
        "logprobs": None if logprobs is None else _text_logprobs(logprobs, offset),
        "finish_reason": finish,
    }
    return {
        **head,
        "object": "text_completion",
        "choices": [] if index is None else [choice],
        **({"usage": usage} if usage is not None else {}),
    }


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return the token counts of one request."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _choice(kept: Mapping[str, Any], logprobs: dict[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": str(kept["text"]), "refusal": None}
    if calls := kept.get("tool_calls"):
        message |= {"content": tool_calls.parse(message["content"])[0] or None, "tool_calls": calls}
    return {
        "index": kept["index"],
        "message": message,
        "logprobs": logprobs,
        "finish_reason": _finish(str(kept.get("finish_reason") or "stop")),
    }


def _finish(reason: str) -> str:
    # An answer whose reader left was cut short; OpenAI's word for that is `length`.
    return "length" if reason == "cancelled" else reason


def _logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    content = [
        {**_token(token), "top_logprobs": [_token(other) for other in token.top]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {
        "token": _word(token),
        "logprob": max(token.logprob, _UNLIKELY),
        "bytes": list(token.raw),
    }


def _text_logprobs(tokens: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.raw.decode(errors="ignore"))
    return {
        "tokens": [_word(token) for token in tokens],
        "token_logprobs": [max(token.logprob, _UNLIKELY) for token in tokens],
        "top_logprobs": [
            {_word(each): max(each.logprob, _UNLIKELY) for each in (*token.top, token)}
            for token in tokens
        ],
        "text_offset": offsets,
    }


def _word(token: TokenLogprob) -> str:
    return token.raw.decode(errors="backslashreplace")
