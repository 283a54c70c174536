"""Tools: what is offered, what is called, and what comes back."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from feedback.settings import FeedbackSettings
from serving.engines.base import ChatMessage, Feature, Prompt
from serving.engines.echo import EchoEngine
from serving.tool_calls import CallStream, parse
from tests.serving.conftest import Server, fault, on_sqlite, running

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Tromsø"}}\n</tool_call>'
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


class Caller(EchoEngine):
    """Repeats people, calls of tools included; keeps what it was offered."""

    offered: Sequence[dict[str, Any]] = ()
    heard: Sequence[ChatMessage] = ()

    @property
    def features(self) -> frozenset[Feature]:
        return super().features | {"tools"}

    def prepare_with_tools(
        self, messages: Sequence[ChatMessage], tools: Sequence[dict[str, Any]]
    ) -> Prompt:
        self.offered, self.heard = tools, messages
        return self.prepare([m for m in messages if m["role"] != "tool"])


@pytest.fixture
def calling(settings: FeedbackSettings) -> Iterator[Server]:
    with running(settings, Caller()) as served:
        yield served


def asking(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


@on_sqlite
def test_a_call_comes_as_a_call_and_its_result_goes_back(calling: Server) -> None:
    with calling.stock() as client:
        answer = client.chat.completions.create(
            model="heed", messages=asking(f"Let me look. {CALL}"), tools=[TOOL]
        )
        choice = answer.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "Let me look."
        assert choice.message.tool_calls is not None
        (call,) = choice.message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == (
            "weather",
            {"city": "Tromsø"},
        )
        client.chat.completions.create(
            model="heed",
            messages=[
                *asking("weather?"),
                choice.message.to_dict(),  # type: ignore[list-item]
                {"role": "tool", "tool_call_id": call.id, "content": "snow"},
            ],
            tools=[TOOL],
        )
        again = client.chat.completions.retrieve(answer.id)
    engine: Any = calling.parts.engine
    assert engine.offered == [TOOL]
    assert engine.heard[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Tromsø"}
    assert engine.heard[2] == {"role": "tool", "content": "snow", "tool_call_id": call.id}
    assert again.choices[0].message.tool_calls == choice.message.tool_calls
    logged = calling.exchange(answer.id)
    assert logged.origin == "tools"
    assert logged.choices[0]["text"] == f"Let me look. {CALL}"


@on_sqlite
def test_a_streamed_call_shows_nothing_of_how_it_is_written(calling: Server) -> None:
    with calling.stock() as client:
        chunks = list(
            client.chat.completions.create(
                model="heed", messages=asking(f"Look: {CALL}"), tools=[TOOL], stream=True
            )
        )
        plain = list(
            client.chat.completions.create(
                model="heed", messages=asking("no <tool_call> at all"), tools=[TOOL], stream=True
            )
        )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas).strip() == "Look:"
    (calls,) = [delta.tool_calls for delta in deltas if delta.tool_calls]
    assert calls[0].index == 0
    assert calls[0].function is not None
    assert calls[0].function.name == "weather"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    said = "".join(chunk.choices[0].delta.content or "" for chunk in plain)
    assert said == "no <tool_call> at all"
    assert plain[-1].choices[0].finish_reason == "stop"


@on_sqlite
def test_without_tools_what_looks_like_a_call_is_text(calling: Server) -> None:
    for fields in ({}, {"tools": [TOOL], "tool_choice": "none"}):
        choice = calling.chat(CALL, **fields).json()["choices"][0]
        assert choice["message"]["content"] == CALL
        assert choice["finish_reason"] == "stop"


@on_sqlite
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [{**TOOL, "also": ["a\x00"]}]}, "tools"),
        ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "f", "arguments": "{"}}],
                    },
                    {"role": "tool", "content": "x"},
                ]
            },
            "messages[0].tool_calls",
        ),
        (
            {"messages": [{"role": "user", "content": "x", "tool_calls": [{}]}]},
            "messages[0].tool_calls",
        ),
    ],
)
def test_tools_that_make_no_sense_are_refused_by_name(
    calling: Server, fields: dict[str, Any], param: str
) -> None:
    answer = calling.chat(**fields)
    assert answer.status_code == 400
    assert fault(answer)["param"] == param


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>{}</tool_call>",
        "<tool_call>no JSON</tool_call>",
        '<tool_call>{"name": "a\\u0000"}</tool_call>',
        '<tool_call>{"name": "a", "arguments": "\\ud800"}</tool_call>',
        '<tool_call>{"name": "f"}',
        f"{CALL} and then some",
        f"{CALL}<tool_call>[</tool_call>",
    ],
)
def test_what_cannot_be_read_as_calls_stays_text(text: str) -> None:
    assert parse(text) == (text, [])
    stream = CallStream()
    assert "".join(map(stream.feed, text)) + stream.finish() == text


def test_several_calls_are_read_each_with_an_id_of_its_own() -> None:
    said, calls = parse(f"{CALL}\n{CALL}")
    assert said == ""
    assert len({call["id"] for call in calls}) == 2
