"""From what a client sent to what the engine is asked: checked, tokenised once, its version chosen.

Knows nothing of HTTP but the names of a few headers, and nothing of answers.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from feedback.errors import Busy, HeedError, Invalid, NotFound
from feedback.ids import new_id
from feedback.text import checked
from serving import client_tasks, openai
from serving.answering import Asked
from serving.auth import Caller
from serving.context import Heed
from serving.engines.base import BASE, ChatMessage, Feature, GenerationRequest, Prompt
from serving.openai_messages import conversation
from serving.routing import MODEL

CONVERSATION_HEADERS = ("x-heed-conversation", "x-openwebui-chat-id")
CONVERSATION_CHARACTERS = 200


def check_room(parts: Heed, answers: int = 1) -> None:
    """Refuse what there is no room for.

    Raises:
        Busy: so many answers are being made already.
    """
    if parts.in_flight and parts.in_flight + answers > parts.settings.serving.max_waiting:
        raise Busy("Too many answers are being made; try again in a moment.")


async def admit(
    body: openai.ChatRequest | openai.CompletionRequest,
    headers: Mapping[str, str],
    parts: Heed,
    who: Caller,
) -> Asked:
    """Check a request, tokenise its prompt once, and choose the version that answers.

    Raises:
        HeedError: it cannot be honoured; names the field.
    """
    engine: Any = parts.engine
    features: frozenset[Feature] = getattr(engine, "features", frozenset())
    body.check_honoured(features)
    talk = _conversation(body.metadata or {}, headers)
    held_to = None
    messages: list[ChatMessage]
    if isinstance(body, openai.CompletionRequest):
        if "text" not in features:
            raise Invalid(
                "This engine continues no bare text; use POST /v1/chat/completions.", param="prompt"
            )
        messages, tools, origin = [{"role": "user", "content": body.text}], [], "completion"
        _check_texts(body, {"prompt": body.text}, parts)
        prompt: Prompt = await asyncio.to_thread(engine.prepare_text, body.text)
    else:
        messages = conversation(body.messages, tools="tools" in features)
        tools, held_to = list(body.calls.offered), body.constraint
        contents = {f"messages[{at}].content": each["content"] for at, each in enumerate(messages)}
        contents["tools"] = _strings([tools, [each.get("tool_calls") for each in messages]])
        contents["response_format"] = _strings(held_to)
        _check_texts(body, contents, parts)
        origin = client_tasks.TASK if client_tasks.is_task(messages) else "chat"
        if tools or any(each["role"] == "tool" or "tool_calls" in each for each in messages):
            origin = "tools"
            prompt = await asyncio.to_thread(engine.prepare_with_tools, messages, tools)
        else:
            prompt = await asyncio.to_thread(engine.prepare, messages)
    sampling = body.sampling(
        parts.settings.serving, room_tokens=engine.context_tokens - len(prompt.token_ids)
    )
    samplings = [openai.of_choice(sampling, index) for index in range(body.n or 1)]
    if held_to is not None:
        kind, schema = held_to
        samplings = [
            replace(each, constraint=await asyncio.to_thread(engine.constraint, kind, schema))
            for each in samplings
        ]
    prefix = "cmpl" if isinstance(body, openai.CompletionRequest) else "chatcmpl"
    exchange_id = new_id(prefix).replace("_", "-")
    person_id = parts.person_id(body.who, who)
    # Last, and nothing is awaited between this and the engine taking the request: a version that
    # is swapped out meanwhile would be gone.
    adapter = await _adapter(body.model, person_id, parts)
    check_room(parts, len(samplings))  # others were admitted meanwhile
    return Asked(
        parts=parts,
        body=body,
        caller=who,
        generations=[
            GenerationRequest(
                f"{exchange_id}.{at}" if at else exchange_id,
                prompt,
                adapter,
                each,
                chat=isinstance(body, openai.ChatRequest),
            )
            for at, each in enumerate(samplings)
        ],
        exchange_id=exchange_id,
        person_id=person_id,
        conversation_id=talk,
        messages=messages,
        origin=origin,
        calls_tools=bool(tools),
    )


def no_model(model: str) -> HeedError:
    """What is said of a model that is not there."""
    return NotFound(
        f"No model {model!r}. Use `{MODEL}` for whatever is live, `{BASE}` for the base model, or "
        "an adapter's id; GET /v1/models lists them.",
        param="model",
    )


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


def _check_texts(body: openai.Asking, texts: dict[str, str], parts: Heed) -> None:
    for name, value in (body.metadata or {}).items():
        texts["metadata"] = texts.get("metadata", "") + name + value
    texts |= {"model": body.model, "stop": "".join(body.stops)}
    for param, text in texts.items():
        checked(text, param, max_bytes=parts.settings.serving.max_body_bytes)


def _strings(value: object) -> str:
    """Every text in what a client sent as JSON, names of fields included."""
    found, left = [], [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            left += [*each, *each.values()]
        elif isinstance(each, list | tuple):
            left += each
        elif isinstance(each, str):
            found.append(each)
    return "".join(found)


async def _adapter(model: str, person_id: str, parts: Heed) -> str:
    if model == MODEL:
        return parts.router.route.adapter_for(person_id)
    if model == BASE:
        return BASE
    try:
        await parts.swap.ensure(model)
    except NotFound:
        raise no_model(model) from None
    return model
