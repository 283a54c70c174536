"""The messages of a chat as clients send them, and the plain turns that a model is given. Pure."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from feedback.errors import Invalid
from serving.engines.base import ChatMessage

ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


class Part(BaseModel):
    """One part of a message's content; only text is understood."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: str | None = None


class WireMessage(BaseModel):
    """One message as clients send it."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[Part] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


def conversation(messages: Sequence[WireMessage], *, tools: bool) -> list[ChatMessage]:
    """Return the messages as plain text turns.

    Args:
        tools: whether the model's template has a place for calls and their results.

    Raises:
        Invalid: a role or a content that the model cannot be given; names the message.
    """
    turns: list[ChatMessage] = []
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        role = ROLES.get(message.role)
        if role is None or (role == "tool" and not tools):
            raise Invalid(
                f"`{place}.role` is {message.role!r}; use system, developer, user or assistant"
                f"{' or tool' if tools else ''}.",
                param=f"{place}.role",
            )
        turn: ChatMessage = {"role": role, "content": _text(message, place)}
        if message.tool_calls:
            if not tools or role != "assistant":
                raise Invalid(
                    f"`{place}.tool_calls`: only an assistant whose model takes tools calls them.",
                    param=f"{place}.tool_calls",
                )
            turn["tool_calls"] = [_call(call, place) for call in message.tool_calls]
        if role == "tool" and message.tool_call_id:
            turn["tool_call_id"] = message.tool_call_id
        turns.append(turn)
    if turns[-1]["role"] == "assistant":
        raise Invalid(
            "The last message is the assistant's; end with the user's, who is to be answered.",
            param="messages",
        )
    return turns


def _text(message: WireMessage, place: str) -> str:
    if message.content is None:
        if message.tool_calls:
            return ""
        raise Invalid(f"`{place}.content` is missing.", param=f"{place}.content")
    if isinstance(message.content, str):
        return message.content
    texts = []
    for index, part in enumerate(message.content):
        if part.type != "text" or part.text is None:
            raise Invalid(
                f"`{place}.content[{index}]` is of type {part.type!r}; this model reads text "
                "alone.",
                param=f"{place}.content[{index}]",
            )
        texts.append(part.text)
    return "".join(texts)


def _call(call: dict[str, Any], place: str) -> dict[str, Any]:
    """A call as templates expect it: its arguments an object, where clients send a string."""
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Invalid(
            f"`{place}.tool_calls` holds a call without a function's name.",
            param=f"{place}.tool_calls",
        )
    arguments = function.get("arguments") or "{}"
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            raise Invalid(
                f"`{place}.tool_calls`: the arguments for {function['name']!r} are not JSON.",
                param=f"{place}.tool_calls",
            ) from None
    return {
        "id": str(call.get("id") or ""),
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }
