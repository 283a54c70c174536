"""``POST /v1/chat/completions`` and the models that can be asked for."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from feedback.errors import Forbidden, NotFound
from feedback.models import Exchange
from feedback.settings import PROJECT
from feedback.submission import parse
from serving import openai, openai_replies, wire
from serving.admission import no_model
from serving.auth import Caller
from serving.context import AsClient, Heed, Parts
from serving.engines.base import BASE
from serving.responding import STREAMED, respond
from serving.routes.feedback import submit
from serving.routing import MODEL
from serving.wording import Chat
from trainer import registry

router = APIRouter(tags=["chat"])


@router.post("/v1/chat/completions", responses=STREAMED)
async def complete(
    body: openai.ChatRequest, request: Request, parts: Parts, who: AsClient
) -> Response:
    """Answer a conversation; every answer is logged with the adapter that gave it."""
    return await respond(body, request, parts, who, Chat)


class Update(BaseModel):
    """The body of the stock client's `update()`."""

    model_config = ConfigDict(extra="allow")

    metadata: Any = Field(
        None, description="The fields of feedback, each value a string: {'rating': 'up'}."
    )


@router.get("/v1/chat/completions/{completion_id}")
def retrieve(completion_id: str, parts: Parts, who: AsClient) -> dict[str, Any]:
    """Show an answer that was given earlier to the same key."""
    return openai_replies.logged(_own_exchange(parts, who, completion_id))


@router.post("/v1/chat/completions/{completion_id}")
async def update(completion_id: str, body: Update, parts: Parts, who: AsClient) -> dict[str, Any]:
    """Take `metadata` as feedback, for the stock client's `update()`; its values are strings."""
    submission = parse(wire.from_metadata(completion_id, body.metadata))
    exchange = await asyncio.to_thread(_own_exchange, parts, who, completion_id)
    receipt, _ = await submit(parts, who, submission)
    return {**openai_replies.logged(exchange), "metadata": body.metadata, "heed": receipt}


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
    raise no_model(model)


def _own_exchange(parts: Heed, who: Caller, completion_id: str) -> Exchange:
    with parts.store.session() as session:
        exchange = session.get(Exchange, completion_id)
    if exchange is None or exchange.state == "forgotten" or exchange.project_id != PROJECT:
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
