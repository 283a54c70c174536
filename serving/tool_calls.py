"""Calls of tools in what a model has said, written as Hermes and Qwen models write them.

``<tool_call>{"name": …, "arguments": {…}}</tool_call>``, any number, after any text. Pure.
"""

import json
from typing import Any

from feedback.ids import new_id
from serving.engines.text_stream import StopStrings

OPEN, CLOSE = "<tool_call>", "</tool_call>"


def parse(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Split an answer into what was said and which tools were called.

    Returns:
        The text before the first call, and the calls in OpenAI's shape; the whole text and no
        call where what looks like one cannot be read.
    """
    said, opening, rest = text.partition(OPEN)
    if not opening:
        return text, []
    calls = []
    while opening:
        body, closing, rest = rest.partition(CLOSE)
        call = _call(body)
        if call is None or not closing:
            return text, []
        calls.append(call)
        between, opening, rest = rest.partition(OPEN)
        if between.strip():
            return text, []
    return said.strip(), calls


class CallStream:
    """Lets the text of an answer through until a call begins; what follows waits for the end."""

    def __init__(self) -> None:
        self._before = StopStrings([OPEN])
        self._text = ""
        self._shown = 0

    def feed(self, text: str) -> str:
        """Take new text; return what is certainly not part of a call."""
        self._text += text
        new = self._before.feed(text)
        self._shown += len(new)
        return new

    def finish(self) -> str:
        """The answer has ended without a call: return what was held back of its text."""
        return self._text[self._shown :]


def _call(body: str) -> dict[str, Any] | None:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or not isinstance(read.get("name"), str):
        return None
    name, arguments = read["name"], read.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    # Escapes may hide what no database keeps: a NUL, half of a surrogate pair.
    if not name.isprintable() or "\x00" in arguments or _is_broken(arguments):
        return None
    return _shaped(name, arguments)


def _is_broken(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shaped(name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": new_id("call"),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
