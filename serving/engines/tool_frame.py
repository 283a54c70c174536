"""How a model's chat template writes calls of tools, and the grammar of answers that hold some.

The template is asked: it writes two calls, and what it put around the name and the arguments is the
frame of every call to come. Known is what `serving.tool_calls` can read again, which is the form of
Hermes and Qwen models; a template that writes another has no frame. Knows nothing of torch, of
tokens or of who is asking.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from feedback.errors import Invalid
from serving.engines import chat_template
from serving.engines.base import ChatMessage
from serving.engines.schema_trial import OPTIONS
from serving.tool_calls import CLOSE, OPEN, parse

MOST_CALLS = 16
"""In one answer, so that a model that goes round in circles comes to an end."""

_NAME, _ARGUMENT = "heed_probe_of_tools", "heed_probe_argument"
_ARGUMENTS = re.compile(rf'\{{\s*"{_ARGUMENT}"\s*:\s*\d\s*\}}')
_BODY = re.compile(f"{re.escape(OPEN)}((?:(?!{re.escape(OPEN)}).)*?){re.escape(CLOSE)}", re.DOTALL)


@dataclass(frozen=True)
class Frame:
    """What stands around the two parts of a call, tags included.

    Attributes:
        parts: before the first part, between both, after the second.
        name_first: whether the name is the first part; else the arguments are.
        between: what stands between two calls.
    """

    parts: tuple[str, str, str]
    name_first: bool
    between: str


def learn(tokenizer: Any) -> Frame | None:
    """Return how the tokenizer's template writes calls; None where that cannot be read again."""
    try:
        text = _written(tokenizer)
    except Invalid:
        return None
    bodies = [found for found in _BODY.finditer(text) if _ARGUMENTS.search(found[1])]
    if len(bodies) != 2:
        return None
    first, second = bodies
    between = text[first.end() : second.start()]
    _, calls = parse(text[first.start() : second.end()])
    found = [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls
    ]
    arguments, name = _ARGUMENTS.search(first[0]), re.search(_NAME, first[0])
    if found != [(_NAME, {_ARGUMENT: at}) for at in range(2)] or not (arguments and name):
        return None
    ends = sorted([arguments.span(), name.span()])
    parts = (first[0][: ends[0][0]], first[0][ends[0][1] : ends[1][0]], first[0][ends[1][1] :])
    return Frame(parts, name.start() < arguments.start(), between)


def grammar(frame: Frame, functions: Sequence[Mapping[str, Any]], *, must: bool, many: bool) -> str:
    """Return the grammar of answers that call these functions, as llguidance's Lark writes it.

    Args:
        functions: each with a name and the schema of its parameters.
        must: the answer is nothing but calls; else any text, which calls may follow.
        many: whether there may be more than one call.

    Raises:
        TypeError, ValueError, RecursionError: a schema is no JSON.
    """
    more = f"({_literal(frame.between + OPEN)} call){{0,{MOST_CALLS - 1}}}" if many else ""
    lines = [
        f"start: {_literal(OPEN)} call {more}" if must else f"start: | TEXT | lead call {more}",
        # Else the library spells what has to come in tokens of its own choice, and a tag would not
        # be the one token that the model knows it by.
        '%llguidance {"no_forcing": true}',
        "call: " + " | ".join(f"call_{at}" for at in range(len(functions))),
    ]
    if not must:
        # What is lazy ends where it can, so no text goes on beyond a tag.
        lines += ["TEXT: /(?s:.+)/", f"lead[lazy]: /(?s:.*){OPEN}/"]
    for at, function in enumerate(functions):
        # Escaped as in JSON, since it stands between JSON's quotes.
        name = json.dumps(function["name"])[1:-1]
        before, middle, after = frame.parts
        before = before.removeprefix(OPEN)
        if frame.name_first:
            call = f"{_literal(before + name + middle)} arguments_{at} {_literal(after)}"
        else:
            call = f"{_literal(before)} arguments_{at} {_literal(middle + name + after)}"
        schema = {"type": "object", **(function.get("parameters") or _NOTHING)}
        schema |= {"x-guidance": OPTIONS}
        lines += [f"call_{at}: {call}", f"arguments_{at}: %json {_json(schema)}"]
    return "\n".join(lines)


_NOTHING: dict[str, Any] = {"properties": {}, "additionalProperties": False}
"""The parameters of a function that names none."""


def _written(tokenizer: Any) -> str:
    """What the template makes of an assistant that calls a tool twice."""
    calls = [
        {
            "id": f"call{at:05}",
            "type": "function",
            "function": {"name": _NAME, "arguments": {_ARGUMENT: at}},
        }
        for at in range(2)
    ]
    schema = {"type": "object", "properties": {_ARGUMENT: {"type": "integer"}}}
    tool = {"name": _NAME, "description": "Looks.", "parameters": schema}
    messages: list[ChatMessage] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]
    token_ids = chat_template.render(tokenizer, messages, [{"type": "function", "function": tool}])
    # As answers are decoded: what a text does not show cannot be read again.
    text: str = tokenizer.decode(
        token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text


def _literal(text: str) -> str:
    return json.dumps(text)


def _json(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, allow_nan=False)
