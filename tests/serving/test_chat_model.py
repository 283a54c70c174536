"""The stock client against a real model, small and random: what only a model can show."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from feedback.settings import FeedbackSettings
from serving.engines.local import LocalEngine
from tests.serving.conftest import Server, running
from tests.serving.engines import tiny

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sold": {"type": "boolean"}, "cups": {"enum": [1, 2]}},
    "required": ["sold", "cups"],
    "additionalProperties": False,
}
STRICT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "sale", "strict": True, "schema": SCHEMA},
}
DRAWN: dict[str, Any] = {"temperature": 1.2, "seed": 11, "max_tokens": 40}


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("speaking")
    base = tiny.build_base(folder / "base")
    with running(FeedbackSettings(data_dir=folder), LocalEngine(str(base), threads=1)) as served:
        yield served


def create(server: Server, **fields: Any) -> Any:
    with server.stock() as client:
        answer: Any = client.chat.completions.create(
            model="heed", messages=[{"role": "user", "content": "cups"}], **fields
        )
        return list(answer) if fields.get("stream") else answer


def test_choices_are_drawn_apart_and_each_can_be_had_again(speaking: Server) -> None:
    first, again = (create(speaking, n=4, **DRAWN) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) == 4
    assert texts == [choice.message.content for choice in again.choices]
    assert texts[0] == create(speaking, **DRAWN).choices[0].message.content
    assert [choice["text"] for choice in speaking.exchange(first.id).choices] == texts


def test_streamed_choices_are_those_that_are_not_streamed(speaking: Server) -> None:
    whole = create(speaking, n=3, logprobs=True, top_logprobs=1, **DRAWN)
    chunks = create(speaking, n=3, logprobs=True, top_logprobs=1, stream=True, **DRAWN)
    for choice in whole.choices:
        own = [c.choices[0] for c in chunks if c.choices[0].index == choice.index]
        assert "".join(each.delta.content or "" for each in own) == choice.message.content
        told = [token for each in own if each.logprobs for token in each.logprobs.content]
        assert [token.bytes for token in told] == [t.bytes for t in choice.logprobs.content]


def test_penalties_change_what_is_said(speaking: Server) -> None:
    plain = create(speaking, max_tokens=60).choices[0].message.content
    for name in ("presence_penalty", "frequency_penalty"):
        bound = create(speaking, max_tokens=60, **{name: 2}).choices[0].message.content
        assert bound != plain


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_follows_the_schema_that_it_was_given(speaking: Server, stream: bool) -> None:
    fields = {**DRAWN, "max_tokens": 120, "response_format": STRICT, "stream": stream}
    answer = create(speaking, **fields)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
        logged = speaking.exchange(answer.id)
        assert logged.sampling["response_format"]["json_schema"]["schema"] == SCHEMA
    said = json.loads(text)
    assert said["sold"] in (True, False)
    assert said["cups"] in (1, 2)


def test_several_choices_follow_a_schema_each_for_itself(speaking: Server) -> None:
    answer = create(speaking, n=3, **{**DRAWN, "max_tokens": 120}, response_format=STRICT)
    for choice in answer.choices:
        assert set(json.loads(choice.message.content)) == {"sold", "cups"}


def test_a_schema_that_cannot_be_followed_is_refused_by_name(speaking: Server) -> None:
    for schema in ({"type": "no such type"}, None):
        bad = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        with pytest.raises(openai.BadRequestError) as refused:
            create(speaking, response_format=bad)
        assert (refused.value.param or "").startswith("response_format")


def test_the_asynchronous_client_gets_the_same(speaking: Server) -> None:
    async def play() -> tuple[str | None, str]:
        async with AsyncOpenAI(base_url=f"{speaking.url}/v1", api_key="any") as client:
            chat = await client.chat.completions.create(
                model="heed", messages=[{"role": "user", "content": "cups"}], **DRAWN
            )
            text = await client.completions.create(
                model="heed", prompt="The shop opens", max_tokens=8
            )
            return chat.choices[0].message.content, text.choices[0].text

    chat, text = asyncio.run(play())
    assert chat == create(speaking, **DRAWN).choices[0].message.content
    assert text


def test_tools_are_refused_where_the_template_has_no_place_for_them(speaking: Server) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    with pytest.raises(openai.BadRequestError) as refused:
        create(speaking, tools=[tool])
    assert refused.value.param == "tools"
