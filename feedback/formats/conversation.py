"""Conversations in every spelling, as the plain turns that Heed logs. Knows no format's rows.

Roles and contents come as OpenAI's `role`/`content`, ShareGPT's `from`/`value`, LangChain's serialised
messages, parts of a multimodal message, or a bare text.
"""

import json
from typing import Any

from feedback.formats.records import Unusable

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_call": "tool_call",
    "observation": "tool",
}
NOT_TEXT = "a message holds something else than text"
SEVERAL = "several prompts or answers in one row, and nothing says which one is meant"
NO_ANSWER = "the answer is no text"
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_THOUGHTS = frozenset({"thought", "thinking", "redacted_thinking", "reasoning"})


def turns(value: Any) -> list[dict[str, Any]]:
    """Return a conversation as ``{"role", "content"}`` turns; a text is one question.

    Raises:
        Unusable: a role is unknown, or a content is no text.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if isinstance(value, dict):
        value = value.get("messages", [value])
    if not isinstance(value, list):
        raise Unusable("the conversation is no list of messages")
    return [turn(each) for each in value]


def turn(message: Any) -> dict[str, Any]:
    """Return one message as a turn.

    Raises:
        Unusable: its role is unknown, or its content is no text.
    """
    if not isinstance(message, dict):
        raise Unusable("a message is no object")
    message = _loaded(message)
    role = _role(message)
    if role is None or role == "tool_call":
        raise Unusable("a message's role is not understood", repr(_said_by(message))[:80])
    calls = message.get("tool_calls")
    content = message.get("content", message.get("value"))
    made: dict[str, Any] = {
        "role": role,
        "content": "" if content is None and calls else text(content),
    }
    if calls and role == "assistant":
        made["tool_calls"] = calls
    if role == "tool" and isinstance(message.get("tool_call_id"), str):
        made["tool_call_id"] = message["tool_call_id"]
    return made


def _role(message: dict[str, Any]) -> str | None:
    said = _said_by(message)
    if not isinstance(said, str):
        return None
    # LangChain names a message's class: `HumanMessage`, and `AIMessageChunk` where it was streamed.
    return ROLES.get(said.removesuffix("Chunk").removesuffix("Message").lower())


def _said_by(message: dict[str, Any]) -> Any:
    message = _loaded(message)
    return message.get("role", message.get("from", message.get("type")))


def _loaded(value: dict[str, Any]) -> dict[str, Any]:
    """Return what an object that LangChain serialised was made of, its class as the role."""
    made, names = value.get("kwargs"), value.get("id")
    if "lc" not in value or not isinstance(made, dict) or not isinstance(names, list) or not names:
        return value
    return {"role": names[-1], **made}


def text(content: Any) -> str:
    """Return a message's content as text.

    Raises:
        Unusable: it is, or has a part that is, no text.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Unusable(NOT_TEXT, type(content).__name__)
    texts = []
    for part in content:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        said = part.get("text", part.get("value")) if isinstance(part, dict) else part
        if str(kind) not in _TEXT_PARTS or not isinstance(said, str):
            raise Unusable(NOT_TEXT, str(kind)[:80])
        texts.append(said)
    return "".join(texts)


def answer(value: Any) -> str:
    """Return the text of an answer: a text, its parts, a message, messages that end with one, a reply.

    Traces keep whatever a program returned, so JSON within a string is looked into as well. What a
    model thought before it answered is no part of the answer.

    Raises:
        Unusable: there is no text in it, or several answers are.
    """
    value = unwrapped(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _last(_unbatched(value))
    if isinstance(value, dict):
        value = _loaded(value)
        if value.get("choices"):
            return answer(_one(value["choices"]))
        for key in ("message", "content", "output", "answer", "text", "response", "value"):
            if value.get(key):
                return text(_spoken(value[key])) if key == "content" else answer(value[key])
        if value.get("messages"):
            return answer(value["messages"])
        if value.get("generations"):
            return answer(_one(_unbatched(value["generations"])))
    raise Unusable(NO_ANSWER)


def _last(values: list[Any]) -> str:
    """The text of one answer's parts, or else of the last message that the assistant sent."""
    values = _spoken(values)
    objects = [each for each in values if isinstance(each, dict)]
    roles = [_role(each) for each in objects]
    if any(roles):
        objects = [each for each, role in zip(objects, roles, strict=True) if role == "assistant"]
    elif any(str(each.get("type")) in _TEXT_PARTS for each in objects):
        return text(values)
    if not objects:
        raise Unusable(NO_ANSWER)
    return answer(objects[-1])


def _spoken(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [
        each
        for each in content
        if not (isinstance(each, dict) and str(each.get("type")) in _THOUGHTS)
    ]


def prompt(value: Any) -> list[dict[str, Any]]:
    """Return the conversation before an answer, out of whatever a program was given.

    Raises:
        Unusable: there is none in it, or several are.
    """
    value = unwrapped(value)
    if isinstance(value, dict):
        value = _loaded(value)
        if value.get("prompts"):
            return prompt(_one(value["prompts"]))
        for key in ("messages", "input", "question", "prompt", "query", "inputs", "text"):
            if value.get(key):
                return prompt(value[key])
        if not {"role", "from", "type"} & value.keys():
            raise Unusable("the prompt is no conversation")
    return turns(_unbatched(value) if isinstance(value, list) else value)


def _unbatched(value: Any) -> Any:
    """LangChain asks in batches: the one conversation, or the one prompt's answers, within a list."""
    return (
        _one(value) if isinstance(value, list) and value and isinstance(value[0], list) else value
    )


def _one(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise Unusable(SEVERAL, str(len(value)))
    return value[0] if value else None


def unwrapped(value: Any) -> Any:
    """Return what a string holds, where that is a JSON object or array; else the value itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if _is_said(found):
            return found
    return value


def _is_said(value: Any) -> bool:
    """Whether JSON within a string is messages, and not a text that happens to be JSON."""
    first = value[0] if isinstance(value, list) and value else value
    while isinstance(first, list) and first:
        first = first[0]
    if not isinstance(first, dict):
        return False
    is_part = str(first.get("type")) in {"text"} | _THOUGHTS and "text" in first
    return is_part or bool({"role", "messages", "choices", "lc"} & first.keys())


def split(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Return what stands before the last message, and that message's text.

    Raises:
        Unusable: the last message is no text of the assistant's, or nothing was asked before.
    """
    if not messages or messages[-1]["role"] != "assistant":
        raise Unusable("the conversation does not end with an answer")
    if not messages[-1]["content"].strip():
        raise Unusable("the answer is empty")
    asked(messages[:-1])
    return messages[:-1], messages[-1]["content"]


def asked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of a prompt.

    Raises:
        Unusable: nobody asked anything.
    """
    if not any(message["role"] in ("user", "tool") for message in messages):
        raise Unusable("nobody asked anything before the answer")
    return messages
