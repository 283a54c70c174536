"""Tools as the stock client offers them: what has to be called is called, whatever the model knows."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import openai
import pytest
from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel

from tests.serving.conftest import Server


class City(StrEnum):
    OSLO = "Oslo"
    BERGEN = "Bergen"


class Weather(BaseModel):
    """Tells the weather."""

    city: City
    tomorrow: bool


def tool(name: str, **more: Any) -> Any:
    """A function whose one argument is a truth."""
    parameters = {
        "type": "object",
        "properties": {"now": {"type": "boolean"}},
        "required": ["now"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


CLOCK, LAMP = tool("clock"), tool("lamp")
QUESTION: Any = [{"role": "user", "content": "tea?"}]


@pytest.fixture(scope="module")
def client(calling: Server) -> Iterator[OpenAI]:
    with calling.stock() as made:
        yield made


def create(client: OpenAI, **fields: Any) -> Any:
    given = {"model": "heed", "messages": QUESTION, "max_tokens": 400, "seed": 1, **fields}
    return client.chat.completions.create(**given)


def called(choice: Any) -> list[tuple[str, Any]]:
    """The calls of a choice: names, and arguments as they were read."""
    return [
        (call.function.name, json.loads(call.function.arguments))
        for call in choice.message.tool_calls or []
    ]


def test_tools_are_shown_to_the_model_and_may_be_left_alone(
    calling: Server, client: OpenAI
) -> None:
    plain, offered = create(client, max_tokens=8), create(client, tools=[CLOCK], max_tokens=8)
    assert offered.usage.prompt_tokens > plain.usage.prompt_tokens
    assert offered.choices[0].message.content
    assert called(offered.choices[0]) == []
    assert calling.exchange(offered.id).origin == "tools"


def test_with_none_the_model_is_not_even_told(calling: Server, client: OpenAI) -> None:
    plain = create(client, max_tokens=8)
    none = create(client, max_tokens=8, tools=[CLOCK], tool_choice="none")
    assert none.usage.prompt_tokens == plain.usage.prompt_tokens
    assert none.choices[0].message == plain.choices[0].message
    assert calling.exchange(none.id).origin == "chat"


@pytest.mark.parametrize("parallel", [None, False])
def test_what_is_required_is_called(calling: Server, client: OpenAI, parallel: Any) -> None:
    more = {} if parallel is None else {"parallel_tool_calls": parallel}
    drawn = {"temperature": 1.5, "n": 4}
    answer = create(client, tools=[CLOCK, LAMP], tool_choice="required", **drawn, **more)
    names = set()
    for choice in answer.choices:
        assert choice.finish_reason in ("tool_calls", "length")  # of many calls the last may be cut
        calls = called(choice)
        if parallel is False:
            assert (choice.finish_reason, len(calls)) == ("tool_calls", 1)
        for name, arguments in calls:
            names.add(name)
            assert list(arguments) == ["now"]
            assert arguments["now"] in (True, False)
    assert names == {"clock", "lamp"}
    logged = calling.exchange(answer.id)
    assert logged.sampling["tool_choice"] == "required"
    assert logged.sampling.get("parallel_tool_calls") == parallel
    assert logged.choices[0]["text"].startswith("<tool_call>\n{")
    assert "response_format" not in logged.sampling


@pytest.mark.parametrize("name", ["clock", "lamp"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_function_that_is_named_is_called_once(
    calling: Server, client: OpenAI, name: str, stream: bool
) -> None:
    fields = {
        "tools": [CLOCK, LAMP],
        "tool_choice": {"type": "function", "function": {"name": name}},
    }
    if stream:
        given = {"model": "heed", "messages": QUESTION, "max_tokens": 400, **fields}
        with client.chat.completions.stream(**given) as events:
            answer: Any = events.get_final_completion()
    else:
        answer = create(client, **fields)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    ((found, arguments),) = called(choice)
    assert found == name
    assert list(arguments) == ["now"]
    logged = calling.exchange(answer.id)
    assert (logged.state, logged.sampling["tool_choice"]) == ("complete", fields["tool_choice"])


def test_a_call_and_its_result_go_back_and_are_answered(calling: Server, client: OpenAI) -> None:
    first = create(client, tools=[CLOCK], tool_choice="required", parallel_tool_calls=False)
    message = first.choices[0].message
    (call,) = message.tool_calls
    talk = [*QUESTION, message, {"role": "tool", "tool_call_id": call.id, "content": "half past"}]
    second = create(client, messages=talk, tools=[CLOCK], max_tokens=8)
    assert second.choices[0].message.content
    logged = calling.exchange(second.id).messages
    assert [turn["role"] for turn in logged] == ["user", "assistant", "tool"]
    assert logged[1]["tool_calls"][0]["function"]["name"] == "clock"
    assert logged[2] == {"role": "tool", "content": "half past", "tool_call_id": call.id}
    kept = client.chat.completions.retrieve(first.id)
    assert kept.choices[0].message.tool_calls == message.tool_calls


def test_the_client_parses_a_call_into_a_model_of_its_own(client: OpenAI) -> None:
    strict = pydantic_function_tool(Weather)
    parsed = client.chat.completions.parse(
        model="heed", messages=QUESTION, tools=[strict], tool_choice="required", max_tokens=400,
        parallel_tool_calls=False,
    )  # fmt: skip
    calls = parsed.choices[0].message.tool_calls
    assert calls is not None
    assert isinstance(calls[0].function.parsed_arguments, Weather)
    # Offered, and left to the model: any text, or a call that keeps to its parameters.
    free = client.chat.completions.parse(
        model="heed", messages=QUESTION, tools=[strict], max_tokens=8, stop="no such words"
    )
    assert free.choices[0].message.content is not None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": {"type": "function"}}, "tool_choice"),
        (
            {"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "lamp"}}},
            "tool_choice",
        ),
        ({"tools": [CLOCK], "tool_choice": ["required"]}, "tool_choice"),
        (
            {"tools": [tool("f", parameters={"type": "array"})]},
            "tools[0].function.parameters",
        ),
        (
            {
                "tools": [
                    tool("f", parameters={"properties": {"a": {"type": "words"}}}, strict=True)
                ]
            },
            "tools",
        ),
        (
            {"tools": [CLOCK], "response_format": {"type": "json_object"}},
            "response_format",
        ),
    ],
)
def test_what_cannot_be_called_so_is_a_bad_request_that_names_the_field(
    client: OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, **fields)
    assert refused.value.param == param


def test_a_call_that_is_cut_short_is_no_call(client: OpenAI) -> None:
    answer = create(client, tools=[CLOCK], tool_choice="required", max_tokens=3)
    (choice,) = answer.choices
    assert (choice.finish_reason, called(choice)) == ("length", [])
    assert choice.message.content.startswith("<tool_call>")
