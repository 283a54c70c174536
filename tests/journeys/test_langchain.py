"""LangChain's own client for chats: what it makes of the answers, and what is logged of them."""

import asyncio
from typing import Any, Literal

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from feedback.models import Exchange
from tests.serving.conftest import Server

HELLO = "Hello! How can I help you today?"


class Opening(BaseModel):
    """When the shop opens."""

    open: bool
    day: Literal["Monday", "Friday"]


@tool
def weather(city: Literal["Oslo", "Bergen"], tomorrow: bool) -> str:
    """Tells the weather."""
    return f"snow in {city}"


@pytest.fixture(autouse=True)
def _no_traces_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")


def chat(server: Server, **fields: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model="heed",
        base_url=f"{server.url}/v1",
        api_key=SecretStr("any"),
        max_retries=0,
        **{"stream_usage": True, **fields},
    )


def logged(server: Server, answer: Any) -> Exchange:
    """The log entry of an answer, which LangChain calls by its own id or in its metadata."""
    return server.exchange(answer.response_metadata.get("id") or answer.id)


def test_invoke_answers_and_tells_what_it_cost(starter: Server) -> None:
    answer = chat(starter).invoke([SystemMessage("Be kind."), HumanMessage("Hello!")])
    assert isinstance(answer, AIMessage)
    entry = logged(starter, answer)
    assert [turn["role"] for turn in entry.messages] == ["system", "user"]
    assert entry.choices[0]["text"] == answer.content
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == entry.prompt_tokens
    assert answer.usage_metadata["output_tokens"] == entry.completion_tokens
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["system_fingerprint"] == "base"


def test_stream_gives_the_same_piece_by_piece_and_the_cost_at_the_end(starter: Server) -> None:
    pieces = list(chat(starter).stream("Hello!"))
    assert len(pieces) > 5
    whole: Any = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    assert whole.content == HELLO
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 10


def test_the_asynchronous_calls_and_a_batch_give_the_same(starter: Server) -> None:
    async def play() -> tuple[Any, str]:
        model = chat(starter)
        answer = await model.ainvoke("Hello!")
        text = "".join([str(piece.content) async for piece in model.astream("Hello!")])
        return answer.content, text

    assert asyncio.run(play()) == (HELLO, HELLO)
    answers = chat(starter).batch(["Hello!", "When do you open?", "Hello!"])
    assert [each.content for each in answers] == [HELLO, answers[1].content, HELLO]
    assert answers[1].content != HELLO
    for answer in answers:
        assert logged(starter, answer).choices[0]["text"] == answer.content


def test_what_is_bound_or_set_reaches_the_answer(starter: Server) -> None:
    bound = chat(starter).bind(stop=[" help"]).invoke("Hello!")
    assert bound.content == "Hello! How can I"
    short = chat(
        starter, max_tokens=3, temperature=0.7, top_p=0.9, seed=4, model_kwargs={"user": "ada"}
    ).invoke("Hello!")
    entry = logged(starter, short)
    assert short.response_metadata["finish_reason"] == "length"
    assert {name: entry.sampling[name] for name in ("max_tokens", "temperature", "top_p")} == {
        "max_tokens": 3, "temperature": 0.7, "top_p": 0.9,
    }  # fmt: skip
    assert entry.sampling["seed"] == 4
    assert entry.person_id != logged(starter, bound).person_id


def test_log_probabilities_are_in_the_metadata(starter: Server) -> None:
    answer = chat(starter, logprobs=True, top_logprobs=2).invoke("Hello!")
    told = answer.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in told) == answer.content
    assert {len(token["top_logprobs"]) for token in told} == {2}


@pytest.mark.parametrize("include_raw", [False, True])
def test_an_answer_is_held_to_a_model_of_ones_own(starter: Server, include_raw: bool) -> None:
    held = chat(starter).with_structured_output(
        Opening, method="json_schema", include_raw=include_raw
    )
    found: Any = held.invoke("When?")
    if include_raw:
        assert found["parsing_error"] is None
        sent = logged(starter, found["raw"]).sampling["response_format"]
        assert (sent["type"], sent["json_schema"]["strict"]) == ("json_schema", True)
        found = found["parsed"]
    assert isinstance(found, Opening)


def test_a_tool_that_is_bound_is_called_and_its_result_goes_back(calling: Server) -> None:
    model = chat(calling, max_tokens=400)
    asked = HumanMessage("tea?")
    answer = model.bind_tools(
        [weather], tool_choice="any", strict=True, parallel_tool_calls=False
    ).invoke([asked])
    (call,) = answer.tool_calls
    assert call["name"] == "weather"
    assert call["args"]["city"] in ("Oslo", "Bergen")
    assert call["args"]["tomorrow"] in (True, False)
    assert answer.invalid_tool_calls == []
    assert logged(calling, answer).sampling["tool_choice"] == "required"
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    last = model.bind_tools([weather]).invoke([asked, answer, result], max_tokens=8)
    assert last.content
    roles = [turn["role"] for turn in logged(calling, last).messages]
    assert roles == ["user", "assistant", "tool"]
    assert logged(calling, last).messages[2]["content"].startswith("snow in ")


def test_a_call_that_is_named_is_streamed_whole(calling: Server) -> None:
    bound = chat(calling, max_tokens=400).bind_tools([weather], tool_choice="weather", strict=True)
    pieces = list(bound.stream("tea?"))
    whole: Any = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    (call,) = whole.tool_calls
    assert set(call["args"]) == {"city", "tomorrow"}


def test_a_model_of_ones_own_can_be_asked_for_as_a_call(calling: Server) -> None:
    held = chat(calling, max_tokens=400).with_structured_output(
        Opening, method="function_calling", strict=True
    )
    assert isinstance(held.invoke("tea?"), Opening)


def test_what_cannot_be_honoured_is_the_clients_own_error(starter: Server) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        chat(starter, n=5).invoke("Hello!")
    assert refused.value.param == "n"
    with pytest.raises(openai.BadRequestError) as refused:
        chat(starter).bind_tools([weather]).invoke("Hello!")
    assert refused.value.param == "tools"
