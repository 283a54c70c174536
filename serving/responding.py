"""Answers over HTTP, whole or as a stream of events, whatever their wording.

Sees to it that a client that leaves frees its place, and that what it got is logged as partial.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from feedback.errors import Conflict, HeedError
from serving import openai, retries, wire
from serving.admission import admit, check_room
from serving.answering import Asked
from serving.auth import Caller
from serving.context import Heed
from serving.engines.base import Chunk, close
from serving.wording import Event, Wording

Told = TypeVar("Told")

STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream`, an event for each piece of it.",
        "content": {"text/event-stream": {}},
    }
}
"""What the document of the API says of a route that may stream."""


async def respond(
    body: openai.ChatRequest | openai.CompletionRequest,
    request: Request,
    parts: Heed,
    who: Caller,
    wording: Callable[[Asked], Wording],
) -> Response:
    """Answer a request; every answer is logged with the adapter that gave it, a retry's once.

    Raises:
        HeedError: it cannot be honoured, or not now.
    """
    check_room(parts)
    host = request.client.host if request.client else None
    mark = retries.mark(request.headers, await request.body(), request.url.path, who.key_id, host)
    earlier = parts.recent.find(mark)
    if earlier is not None and earlier.recorded and earlier.complete:
        return _again(earlier, wording(earlier))
    if earlier is not None and mark.named and not earlier.recorded:
        raise Conflict("A request with this Idempotency-Key is being answered; wait for it.")
    asked = await admit(body, request.headers, parts, who)
    if earlier is not None and not (earlier.recorded and earlier.complete):
        asked.take_over(earlier)
    if body.store is not False:
        parts.recent.keep(mark, asked)
    said = wording(asked)
    if body.stream:
        told = events(asked, said, _event)
        # Begun here, so that what the engine refuses is an HTTP error, and so that its end is seen
        # to even where the client is gone before the first event.
        await anext(told)
        return _stream(told, asked)
    await _collect(asked, request)
    return JSONResponse(said.whole(), headers=_headers(asked))


async def events(
    asked: Asked, said: Wording, form: Callable[[Event | None], Told]
) -> AsyncGenerator[Told, None]:
    """Answer piece by piece, and log the exchange: whole, or partial where the reader goes.

    Args:
        asked: the admitted request.
        said: what its pieces are called.
        form: what is made of an event, and of None for the end.

    Yields:
        Once at the beginning, which says only that the engine has taken the request; then events. A
        failure is an event too.

    Raises:
        HeedError: the engine refuses; only before the first thing is yielded.
    """
    parts, answers = asked.parts, asked.answers()
    parts.in_flight += len(asked.choices)
    try:
        yield form(None)
        for event in said.opening():
            yield form(event)
        async for index, chunk in answers:
            asked.take(index, chunk)
            for event in said.piece(index, chunk):
                yield form(event)
        await asked.record()  # before the client can know that the answer is whole
        for event in said.closing():
            yield form(event)
        yield form(None)
    except Exception as fault:
        if not asked.recorded:  # else it is the log that broke
            asked.broke(fault)
        if not isinstance(fault, HeedError):
            raise
        yield form(wire.error(fault))
    finally:
        parts.in_flight -= len(asked.choices)
        if not asked.recorded:
            # An await here would be cancelled along with the client; a task of its own is not.
            parts.detach(asked.record())
        await close(answers)


async def _collect(asked: Asked, request: Request) -> None:
    parts, answers = asked.parts, asked.answers()
    parts.in_flight += len(asked.choices)
    gone = asyncio.create_task(_disconnect(request))
    try:
        async for index, chunk in answers:
            asked.take(index, chunk)
            if gone.done() and not asked.complete:
                break
    except asyncio.CancelledError:
        parts.detach(asked.record())
        raise
    except Exception as fault:
        if asked.broke(fault):
            parts.detach(asked.record())
        raise
    finally:
        gone.cancel()
        parts.in_flight -= len(asked.choices)
        await close(answers)
    await asked.record()


def _again(earlier: Asked, said: Wording) -> Response:
    """The same answer once more: its client did not get it, and it is logged already."""
    if not earlier.body.stream:
        return JSONResponse(said.whole(), headers=_headers(earlier))

    async def once_more() -> AsyncIterator[str]:
        for event in said.opening():
            yield _event(event)
        for choice in earlier.choices:
            whole = Chunk(choice.text, choice.tokens, "stop", tuple(choice.logprobs))
            for event in said.piece(choice.index, whole):
                yield _event(event)
        for event in said.closing():
            yield _event(event)
        yield _event(None)

    return _stream(once_more(), earlier)


def _stream(told: AsyncIterator[str], asked: Asked) -> Response:
    return StreamingResponse(told, media_type="text/event-stream", headers=_headers(asked))


def _headers(asked: Asked) -> dict[str, str]:
    return {"X-Heed-Adapter": asked.adapter}


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _event(data: Event | None) -> str:
    if data is None:
        return "data: [DONE]\n\n"
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"
