"""What the stock client can ask of an answer, each field against the real model and the real log."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel, ConfigDict

from tests.serving.conftest import Server

HELLO = "Hello! How can I help you today?"
DRAWN: dict[str, Any] = {"temperature": 1.6, "max_tokens": 24}


class Opening(BaseModel):
    model_config = ConfigDict(extra="forbid")

    open: bool
    day: Literal["Monday", "Friday"]


@pytest.fixture(scope="module")
def client(starter: Server) -> Iterator[OpenAI]:
    with starter.stock() as made:
        yield made


def said(text: Any = "Hello!") -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def create(client: OpenAI, text: Any = "Hello!", **fields: Any) -> ChatCompletion:
    answer: ChatCompletion = client.chat.completions.create(
        model="heed", messages=said(text), **fields
    )
    return answer


def words(answer: ChatCompletion) -> str:
    content = answer.choices[0].message.content
    assert content is not None
    return content


def test_a_stream_ends_with_the_usage_of_the_answer_that_is_logged(
    starter: Server, client: OpenAI
) -> None:
    whole = create(client)
    with client.chat.completions.create(
        model="heed", messages=said(), stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert words(whole) == HELLO
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == HELLO
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 2) + [
        "stop"
    ]
    assert len(chunks) > 5
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert all(chunk.usage is None for chunk in chunks[:-1])
    (completion_id,) = {chunk.id for chunk in chunks}
    logged = starter.exchange(completion_id)
    assert logged.choices == [{"index": 0, "text": HELLO, "finish_reason": "stop"}]
    assert whole.usage is not None
    assert (logged.prompt_tokens, logged.completion_tokens) == (
        whole.usage.prompt_tokens,
        whole.usage.completion_tokens,
    )
    plain = client.chat.completions.create(model="heed", messages=said(), stream=True)
    assert all(chunk.choices for chunk in plain)


def test_the_clients_own_stream_helper_puts_the_answer_together(client: OpenAI) -> None:
    with client.chat.completions.stream(model="heed", messages=said()) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == HELLO


def test_parts_of_text_are_read_as_one_text(starter: Server, client: OpenAI) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}]
    answer = create(client, parts)
    assert words(answer) == HELLO
    assert starter.exchange(answer.id).messages == [{"role": "user", "content": "Hello!"}]
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}])
    assert refused.value.param == "messages[0].content[0]"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_names_of_the_limit_limit(starter: Server, client: OpenAI, name: str) -> None:
    answer = create(client, **{name: 3})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert words(answer) == HELLO[: len(words(answer))] != HELLO
    assert starter.exchange(answer.id).sampling["max_tokens"] == 3
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, **{name: 1_000_000})
    assert refused.value.param == name


def test_temperature_and_nucleus_draw_and_a_small_nucleus_draws_the_likeliest(
    starter: Server, client: OpenAI
) -> None:
    greedy = create(client, "When do you open?", temperature=0)
    drawn = [create(client, "When do you open?", seed=seed, **DRAWN) for seed in range(6)]
    assert len({words(each) for each in drawn}) > 1
    narrow = create(client, "When do you open?", top_p=1e-6, seed=1, **DRAWN)
    assert words(narrow) == words(greedy)
    asked = starter.exchange(narrow.id).sampling
    assert (asked["temperature"], asked["top_p"], asked["seed"]) == (1.6, 1e-6, 1)
    for field, value in (("temperature", 2.1), ("top_p", 0)):
        with pytest.raises(openai.BadRequestError) as refused:
            create(client, **{field: value})
        assert refused.value.param == field


def test_a_seed_gives_the_same_answer_whatever_else_is_in_the_batch(
    starter: Server, client: OpenAI
) -> None:
    alone = words(create(client, "When do you open?", seed=7, **DRAWN))

    async def play() -> list[str | None]:
        async with AsyncOpenAI(base_url=f"{starter.url}/v1", api_key="any") as many:
            answers = await asyncio.gather(
                *(
                    many.chat.completions.create(
                        model="heed",
                        messages=said("When do you open?"),
                        seed=seed,
                        **DRAWN,
                    )
                    for seed in range(12)
                )
            )
        return [answer.choices[0].message.content for answer in answers]

    together = asyncio.run(play())
    assert together[7] == alone
    assert len(set(together)) > 3


def test_up_to_four_answers_come_and_five_are_refused(starter: Server, client: OpenAI) -> None:
    answer = create(client, "When do you open?", n=4, seed=3, **DRAWN)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len(set(texts)) > 1
    assert [each["text"] for each in starter.exchange(answer.id).choices] == texts
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, n=5)
    assert refused.value.param == "n"


@pytest.mark.parametrize("stop", [" help", [" nowhere", " help"]])
def test_an_answer_ends_before_a_stop_string(starter: Server, client: OpenAI, stop: Any) -> None:
    answer = create(client, stop=stop)
    assert words(answer) == "Hello! How can I"
    assert answer.choices[0].finish_reason == "stop"
    assert starter.exchange(answer.id).choices[0]["text"] == "Hello! How can I"
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, stop=["a", "b", "c", "d", "e"])
    assert refused.value.param == "stop"


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_a_penalty_makes_words_come_less_often(starter: Server, client: OpenAI, name: str) -> None:
    # Held to an object, the model goes round in circles, as small models do.
    loop: dict[str, Any] = {"response_format": {"type": "json_object"}, "max_tokens": 40}
    plain, bound = create(client, **loop), create(client, **loop, **{name: 2})
    often = [max(Counter(words(each).split()).values()) for each in (plain, bound)]
    assert often[1] < often[0]
    assert starter.exchange(bound.id).sampling[name] == 2
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, **{name: 2.5})
    assert refused.value.param == name


def test_log_probabilities_spell_the_answer(client: OpenAI) -> None:
    answer = create(client, logprobs=True, top_logprobs=2)
    assert answer.choices[0].logprobs is not None
    told = answer.choices[0].logprobs.content
    assert told is not None
    assert b"".join(bytes(token.bytes or []) for token in told).decode() == HELLO
    for token in told:
        assert len(token.top_logprobs) == 2
        # Greedy: the token that was chosen is the likeliest.
        assert token.logprob == token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
        assert token.logprob <= 0
    assert create(client).choices[0].logprobs is None
    for fields in ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21}):
        with pytest.raises(openai.BadRequestError) as refused:
            create(client, **fields)
        assert refused.value.param == "top_logprobs"


def test_an_answer_can_have_to_be_json_of_any_kind_or_of_one(
    starter: Server, client: OpenAI
) -> None:
    some = create(client, response_format={"type": "json_object"}, max_tokens=40)
    assert words(some).startswith("{")
    schema = {"name": "opening", "strict": True, "schema": Opening.model_json_schema()}
    wanted = {"type": "json_schema", "json_schema": schema}
    answer = create(client, response_format=wanted)
    assert set(json.loads(words(answer))) == {"open", "day"}
    assert starter.exchange(answer.id).sampling["response_format"] == wanted
    free = create(client, response_format={"type": "text"})
    assert words(free) == HELLO


def test_the_client_parses_an_answer_into_a_model_of_its_own(starter: Server) -> None:
    with starter.stock() as client:
        parsed = client.chat.completions.parse(
            model="heed", messages=said("When?"), response_format=Opening
        )
    found = parsed.choices[0].message.parsed
    assert isinstance(found, Opening)
    assert json.loads(starter.exchange(parsed.id).choices[0]["text"]) == found.model_dump()


def test_a_bare_text_is_continued(starter: Server, client: OpenAI) -> None:
    prompt = "<|user|>Hello!<|end|><|assistant|>"
    answer = client.completions.create(model="heed", prompt=prompt, max_tokens=40, logprobs=1)
    assert answer.choices[0].text == HELLO  # the template, written out by hand
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.text_offset is not None
    assert "".join(answer.choices[0].logprobs.tokens or []) == HELLO
    chunks = list(client.completions.create(model="heed", prompt=prompt, stream=True, stop=" can"))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello! How"
    logged = starter.exchange(answer.id)
    assert (logged.origin, logged.messages[0]["content"]) == ("completion", prompt)
    assert logged.choices[0]["text"] == HELLO


def test_the_asynchronous_client_streams_and_parses(starter: Server) -> None:
    async def play() -> tuple[str, Any, Any]:
        async with AsyncOpenAI(base_url=f"{starter.url}/v1", api_key="any") as client:
            stream = await client.chat.completions.create(
                model="heed", messages=said(), stream=True, stream_options={"include_usage": True}
            )
            text, usage = "", None
            async for chunk in stream:
                text += "".join(choice.delta.content or "" for choice in chunk.choices)
                usage = chunk.usage or usage
            parsed = await client.chat.completions.parse(
                model="heed", messages=said("When?"), response_format=Opening
            )
            return text, usage, parsed.choices[0].message.parsed

    text, usage, parsed = asyncio.run(play())
    assert text == HELLO
    assert usage.completion_tokens == 10
    assert isinstance(parsed, Opening)
