"""``POST /v1/chat/completions`` and the models that can be asked for."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from feedback.errors import Busy, Forbidden, HeedError, Invalid, NotFound
from feedback.ids import new_id
from feedback.models import Exchange
from feedback.settings import PROJECT
from feedback.submission import parse
from feedback.text import checked
from serving import openai, wire
from serving.auth import Caller
from serving.context import AsClient, Heed, Parts
from serving.engines.base import BASE, ChatMessage, GenerationRequest
from serving.routes.feedback import submit
from serving.routing import MODEL
from trainer import registry

router = APIRouter(tags=["chat"])

CONVERSATION_HEADERS = ("x-heed-conversation", "x-openwebui-chat-id")
CONVERSATION_CHARACTERS = 200


@dataclass
class Asked:
    """One admitted request: everything its answer and its log entry need."""

    parts: Heed
    body: openai.ChatRequest
    caller: Caller
    generation: GenerationRequest
    exchange_id: str
    person_id: str
    conversation_id: str | None
    messages: list[ChatMessage]
    created_at: float = field(default_factory=time.time)
    text: str = ""
    completion_tokens: int = 0
    finish: str = "cancelled"
    recorded: bool = False

    def take(self, text: str, tokens: int, finish: str | None) -> None:
        """Note a piece of the answer."""
        self.text += text
        self.completion_tokens = tokens
        self.finish = finish or self.finish

    def usage(self) -> dict[str, int]:
        """Tokens so far."""
        return openai.usage(len(self.generation.prompt.token_ids), self.completion_tokens)

    def shape(self) -> dict[str, Any]:
        """What every event of this answer says about itself."""
        return {
            "id": self.exchange_id,
            "created": int(self.created_at),
            "model": self.body.model,
            "adapter": self.generation.adapter,
        }

    async def record(self) -> None:
        """Log the exchange, once; returns when it is on the disk."""
        if self.recorded or self.body.store is False:
            return
        self.recorded = True
        await asyncio.wrap_future(self.parts.intake.record(self._exchange()))

    def _exchange(self) -> Exchange:
        prompt = json.dumps(self.messages, sort_keys=True)
        sampling = self.generation.sampling
        return Exchange(
            id=self.exchange_id,
            conversation_id=self.conversation_id,
            turn=sum(message["role"] == "user" for message in self.messages),
            key_id=self.caller.key_id,
            person_id=self.person_id,
            people_key_id=self.parts.people.id,
            model=self.body.model,
            adapter_id=self.generation.adapter,
            base_hash=self.parts.engine.base_hash,
            messages=[{**message} for message in self.messages],
            prompt_hash=hashlib.sha256(prompt.encode()).hexdigest(),
            choices=[{"index": 0, "text": self.text, "finish_reason": self.finish}],
            sampling={
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": sampling.max_tokens,
                "stop": list(sampling.stop),
                "seed": sampling.seed,
            },
            tags=dict(self.body.metadata or {}),
            prompt_tokens=len(self.generation.prompt.token_ids),
            completion_tokens=self.completion_tokens,
            state="partial" if self.finish == "cancelled" else "complete",
            created_at=self.created_at,
        )


@router.post("/v1/chat/completions")
async def complete(
    body: openai.ChatRequest, request: Request, parts: Parts, who: AsClient
) -> Response:
    """Answer a conversation; every answer is logged with the adapter that gave it."""
    _check_room(parts)
    asked = await _admit(body, request, parts, who)
    _check_room(parts)  # others were admitted meanwhile
    headers = {"X-Heed-Adapter": asked.generation.adapter}
    if body.stream:
        events = _events(asked)
        # Begun here, so that what the engine refuses is an HTTP error, and so that its end is seen
        # to even where the client is gone before the first event.
        await anext(events)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)
    answer = parts.engine.generate(asked.generation)
    parts.in_flight += 1
    gone = asyncio.create_task(_disconnect(request))
    try:
        async for chunk in answer:
            asked.take(chunk.text, chunk.completion_tokens, chunk.finish_reason)
            if gone.done() and not chunk.finish_reason:
                break
    except asyncio.CancelledError:
        parts.detach(asked.record())
        raise
    finally:
        gone.cancel()
        parts.in_flight -= 1
    await asked.record()
    content = openai.completion(
        **asked.shape(), text=asked.text, finish=asked.finish, usage=asked.usage()
    )
    return JSONResponse(content, headers=headers)


class Update(BaseModel):
    """The body of the stock client's `update()`."""

    model_config = ConfigDict(extra="allow")

    metadata: Any = Field(
        None, description="The fields of feedback, each value a string: {'rating': 'up'}."
    )


@router.get("/v1/chat/completions/{completion_id}")
def retrieve(completion_id: str, parts: Parts, who: AsClient) -> dict[str, Any]:
    """Show an answer that was given earlier to the same key."""
    return openai.logged(_own_exchange(parts, who, completion_id))


@router.post("/v1/chat/completions/{completion_id}")
async def update(completion_id: str, body: Update, parts: Parts, who: AsClient) -> dict[str, Any]:
    """Take `metadata` as feedback, for the stock client's `update()`; its values are strings."""
    submission = parse(wire.from_metadata(completion_id, body.metadata))
    exchange = await asyncio.to_thread(_own_exchange, parts, who, completion_id)
    receipt, _ = await submit(parts, who, submission)
    return {**openai.logged(exchange), "metadata": body.metadata, "heed": receipt}


@router.get("/v1/models")
def models(parts: Parts, who: AsClient) -> dict[str, Any]:
    """List what `model` may be: `heed` for whatever is live, or an exact version."""
    with parts.store.session() as session:
        versions = [each for each in registry.adapters(session) if each.state != "rejected"]
    names = [(MODEL, 0), (BASE, 0), *((each.id, int(each.created_at)) for each in versions)]
    data = [
        {"id": name, "object": "model", "created": created, "owned_by": "heed"}
        for name, created in names
    ]
    return {"object": "list", "data": data}


@router.get("/v1/models/{model}")
def model(model: str, parts: Parts, who: AsClient) -> dict[str, Any]:
    """Show one model."""
    for each in models(parts, who)["data"]:
        if each["id"] == model:
            return dict(each)
    raise _no_model(model)


async def _admit(body: openai.ChatRequest, request: Request, parts: Heed, who: Caller) -> Asked:
    body.check_honoured()
    messages = body.conversation()
    conversation = _conversation(body.metadata or {}, request.headers)
    _check_texts(body, messages, max_bytes=parts.settings.serving.max_body_bytes)
    person_id = parts.person_id(body.who, who)
    prompt = await asyncio.to_thread(parts.engine.prepare, messages)
    exchange_id = new_id("chatcmpl").replace("_", "-")
    sampling = body.sampling(
        parts.settings.serving, room_tokens=parts.engine.context_tokens - len(prompt.token_ids)
    )
    # Last, and nothing is awaited between this and the engine taking the request: a version that
    # is swapped out meanwhile would be gone.
    adapter = await _adapter(body.model, person_id, parts)
    return Asked(
        parts=parts,
        body=body,
        caller=who,
        generation=GenerationRequest(exchange_id, prompt, adapter, sampling),
        exchange_id=exchange_id,
        person_id=person_id,
        conversation_id=conversation,
        messages=messages,
    )


def _check_room(parts: Heed) -> None:
    if parts.in_flight >= parts.settings.serving.max_waiting:
        raise Busy("Too many answers are being made; try again in a moment.")


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _own_exchange(parts: Heed, who: Caller, completion_id: str) -> Exchange:
    with parts.store.session() as session:
        exchange = session.get(Exchange, completion_id)
    if exchange is None or exchange.project_id != PROJECT:
        raise NotFound(
            f"No completion {completion_id!r} is on record; those sent with `store: false` never "
            "are.",
            param="completion_id",
        )
    if exchange.key_id != who.key_id and not who.allows("reviewer"):
        raise Forbidden(
            "This completion was made with another key. Feedback on it goes to POST /v1/feedback."
        )
    return exchange


def _conversation(metadata: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
    found = metadata.get("conversation_id") or next(
        filter(None, (headers.get(name) for name in CONVERSATION_HEADERS)), None
    )
    if found is not None and len(found) > CONVERSATION_CHARACTERS:
        raise Invalid(
            f"The conversation's id has {len(found):,} characters; at most "
            f"{CONVERSATION_CHARACTERS} are kept.",
            param="metadata.conversation_id",
        )
    return found


def _check_texts(body: openai.ChatRequest, messages: list[ChatMessage], *, max_bytes: int) -> None:
    texts = {f"messages[{index}].content": each["content"] for index, each in enumerate(messages)}
    for name, value in (body.metadata or {}).items():
        texts["metadata"] = texts.get("metadata", "") + name + value
    texts |= {"model": body.model, "stop": "".join(body.stops)}
    for param, text in texts.items():
        checked(text, param, max_bytes=max_bytes)


async def _adapter(model: str, person_id: str, parts: Heed) -> str:
    if model == MODEL:
        return parts.router.route.adapter_for(person_id)
    if model == BASE:
        return BASE
    try:
        await parts.swap.ensure(model)
    except NotFound:
        raise _no_model(model) from None
    return model


async def _events(asked: Asked) -> AsyncIterator[str]:
    parts = asked.parts
    usage = asked.body.stream_options is not None and asked.body.stream_options.include_usage
    answer = parts.engine.generate(asked.generation)
    parts.in_flight += 1
    try:
        yield ""  # the route takes this one
        yield _event(openai.chunk(**asked.shape(), delta={"role": "assistant", "content": ""}))
        async for piece in answer:
            asked.take(piece.text, piece.completion_tokens, piece.finish_reason)
            if piece.text:
                yield _event(openai.chunk(**asked.shape(), delta={"content": piece.text}))
        await asked.record()  # before the client can know that the answer is whole
        yield _event(openai.chunk(**asked.shape(), delta={}, finish=asked.finish))
        if usage:
            yield _event(openai.chunk(**asked.shape(), delta=None, usage=asked.usage()))
        yield "data: [DONE]\n\n"
    except HeedError as fault:
        yield _event(wire.error(fault))
    finally:
        parts.in_flight -= 1
        if not asked.recorded:
            # An await here would be cancelled along with the client; a task of its own is not.
            parts.detach(asked.record())


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


def _no_model(model: str) -> HeedError:
    return NotFound(
        f"No model {model!r}. Use `{MODEL}` for whatever is live, `{BASE}` for the base model, or "
        "an adapter's id; GET /v1/models lists them.",
        param="model",
    )
