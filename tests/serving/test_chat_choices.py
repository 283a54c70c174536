"""What the stock client can ask for beyond one plain answer: choices, log-probabilities, texts."""

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from feedback import harvest
from serving.engines.base import Sampling
from serving.openai import of_choice
from tests.serving.conftest import Server, fault

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two"}]


def test_several_choices_are_one_exchange_that_feedback_can_tell_apart(server: Server) -> None:
    with server.stock() as client:
        answer = client.chat.completions.create(model="heed", messages=HELLO, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"one two"}
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 6)
    logged = server.exchange(answer.id)
    assert [choice["index"] for choice in logged.choices] == [0, 1, 2]
    assert (logged.completion_tokens, logged.state) == (6, "complete")
    assert server.told(completion_id=answer.id, choice=2, rating="down")
    beyond = server.tell(completion_id=answer.id, choice=3, rating="down")
    assert fault(beyond)["param"] == "choice"
    assert len(server.http.get(f"/v1/chat/completions/{answer.id}").json()["choices"]) == 3


def test_several_choices_stream_with_their_index(server: Server) -> None:
    with server.stock() as client:
        chunks = list(
            client.chat.completions.create(
                model="heed",
                messages=HELLO,
                n=2,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    for index in (0, 1):
        own = [piece for piece in pieces if piece.index == index]
        assert own[0].delta.role == "assistant"
        assert "".join(piece.delta.content or "" for piece in own) == "one two"
        assert [piece.finish_reason for piece in own if piece.finish_reason] == ["stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4
    assert len(server.exchange(chunks[0].id).choices) == 2


def test_each_choice_draws_with_its_own_seed_and_the_first_as_if_alone() -> None:
    asked = Sampling(temperature=1.0, seed=7)
    seeds = [of_choice(asked, index).seed for index in range(4)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 4
    assert seeds == [of_choice(asked, index).seed for index in range(4)]
    assert of_choice(Sampling(), 3).seed is None


def test_log_probabilities_come_in_the_stock_clients_shape(server: Server) -> None:
    with server.stock() as client:
        asked: dict[str, Any] = {"logprobs": True, "top_logprobs": 2}
        answer = client.chat.completions.create(model="heed", messages=HELLO, **asked)
        chunks = list(
            client.chat.completions.create(model="heed", messages=HELLO, stream=True, **asked)
        )
        plain = client.chat.completions.create(model="heed", messages=HELLO)
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert [token.token for token in told.content] == ["one", " two"]
    assert told.content[1].bytes == list(b" two")
    assert told.content[1].logprob == 0.0
    assert told.content[1].top_logprobs[0].token == " two"
    streamed = [
        token
        for chunk in chunks
        for token in (chunk.choices[0].logprobs and chunk.choices[0].logprobs.content) or []
    ]
    assert streamed == told.content
    assert plain.choices[0].logprobs is None


def test_the_stock_client_has_a_text_continued(server: Server) -> None:
    with server.stock() as client:
        answer = client.completions.create(model="heed", prompt="tea for two", logprobs=1, user="a")
        chunks = list(
            client.completions.create(
                model="heed",
                prompt=["tea for two"],
                stream=True,
                n=2,
                logprobs=0,
                stream_options={"include_usage": True},
            )
        )
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    choice = answer.choices[0]
    assert (choice.text, choice.finish_reason) == ("tea for two", "stop")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["tea", " for", " two"]
    assert choice.logprobs.text_offset == [0, 3, 7]
    assert choice.logprobs.top_logprobs == [{"tea": 0.0}, {" for": 0.0}, {" two": 0.0}]
    for index in (0, 1):
        own = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == index]
        assert "".join(piece.text for piece in own) == "tea for two"
        assert own[-1].finish_reason == "stop"
        offsets = [n for piece in own if piece.logprobs for n in piece.logprobs.text_offset or []]
        assert offsets == [0, 3, 7]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6
    logged = server.exchange(answer.id)
    assert (logged.origin, logged.messages) == (
        "completion",
        [{"role": "user", "content": "tea for two"}],
    )
    assert server.told(completion_id=answer.id, rating="up")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "a\x00"}, "prompt"),
        ({"prompt": "word " * 2000}, "prompt"),
        ({"prompt": "a", "echo": True}, "echo"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "best_of": 2}, "best_of"),
        ({"prompt": "a", "logprobs": 6}, "logprobs"),
        ({"prompt": "a", "n": 5}, "n"),
        ({"prompt": "a", "max_tokens": 5000}, "max_tokens"),
    ],
)
def test_a_text_that_cannot_be_continued_is_refused_by_name(
    server: Server, fields: dict[str, Any], param: str
) -> None:
    answer = server.http.post("/v1/completions", json={"model": "heed", **fields})
    assert answer.status_code == 400, answer.text
    assert (fault(answer)["param"] or "").split(".")[0] == param


TITLE = (
    "### Task:\nGenerate a concise, 3-5 word title summarizing the chat history.\n### Output:\n"
    'JSON format: { "title": "…" }\n### Chat History:\n<chat_history>\nUSER: hi\n</chat_history>'
)
FROM_DOCUMENTS = (
    "### Task:\nRespond to the user query using the provided context.\n<context>\n"
    "A page that quotes <chat_history></chat_history>.\n</context>\nWhat does it quote?"
)


@pytest.mark.parametrize(
    ("messages", "origin"),
    [
        ([TITLE], "task"),
        ([f"\n{TITLE}\n"], "task"),
        (["### Task:\nSum up my notes. Thanks!"], "chat"),
        ([f"What does this do?\n{TITLE}"], "chat"),
        ([FROM_DOCUMENTS], "chat"),
        (["hello", TITLE], "chat"),
    ],
)
def test_open_webuis_own_prompts_are_no_persons_chat(
    server: Server, messages: list[str], origin: str
) -> None:
    said = [{"role": "user", "content": text} for text in messages]
    assert server.exchange(server.asked(messages=said)).origin == origin


def test_no_round_learns_from_open_webuis_own_prompts(own: Server) -> None:
    for text in (TITLE, "hello"):
        own.told(completion_id=own.asked(text), rating="up")
    with own.store.session(write=True) as session:
        assert harvest.available(session) == 1
        assert harvest.claim(session, own.store.settings, "rnd_test") == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 0}, "n"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    ],
)
def test_what_this_engine_cannot_do_is_refused_by_name(
    server: Server, fields: dict[str, Any], param: str
) -> None:
    with server.stock() as client, pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="heed", messages=HELLO, extra_body=fields)
    assert refused.value.param == param
    assert json.dumps(refused.value.body)
