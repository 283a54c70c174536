"""Chatting: what clients of OpenAI's API send and get, and what is logged of it."""

import json
import time
from typing import Any

import httpx
import pytest

from feedback.people import people_key
from feedback.settings import FeedbackSettings
from serving.engines.echo import EchoEngine
from serving.openai import NOT_HONOURED
from tests.serving.conftest import Server, fault, running, wait_until

OPTIONAL = (
    *("max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed"),
    *("stream", "stream_options", "store", "metadata", "user", "safety_identifier"),
    *("n", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty"),
    *("response_format", "tools", "tool_choice", "parallel_tool_calls"),
)
HELLO = [{"role": "user", "content": "hello there"}]


def test_the_stock_client_gets_an_answer(server: Server) -> None:
    with server.stock() as client:
        answer = client.chat.completions.create(
            model="heed", messages=[{"role": "user", "content": "good morning to you"}]
        )
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == "heed"
    assert answer.system_fingerprint == "base"
    assert abs(answer.created - time.time()) < 60
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == "good morning to you"
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 5
    assert answer.usage.completion_tokens == 4
    assert answer.usage.total_tokens == 9


def test_the_stock_client_streams(server: Server) -> None:
    with server.stock() as client:
        chunks = list(
            client.chat.completions.create(
                model="heed",
                messages=[{"role": "user", "content": "one two three"}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {chunk.system_fingerprint for chunk in chunks} == {"base"}
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == "one two three"
    assert len([piece for piece in said if piece]) == 3
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 7
    assert server.exchange(chunks[0].id).choices[0]["text"] == "one two three"


def test_a_stream_ends_with_done_and_tells_usage_only_on_request(server: Server) -> None:
    answer = server.chat(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-heed-adapter"] == "base"
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    assert all("usage" not in json.loads(event) for event in events[:-1])


def test_an_answer_names_the_version_that_gave_it(server: Server) -> None:
    answer = server.chat()
    assert answer.headers["x-heed-adapter"] == answer.json()["system_fingerprint"] == "base"


def test_content_may_come_in_parts(server: Server) -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    answer = server.chat(messages=[{"role": "user", "content": parts}])
    assert answer.json()["choices"][0]["message"]["content"] == "one two"


def test_a_developer_speaks_as_the_system(server: Server) -> None:
    identity = server.asked(messages=[{"role": "developer", "content": "be brief"}, *HELLO])
    assert server.exchange(identity).messages[0] == {"role": "system", "content": "be brief"}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_ends_at_the_limit(server: Server, name: str) -> None:
    answer = server.chat("one two three four", **{name: 2}).json()
    assert answer["choices"][0]["message"]["content"] == "one two"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("stop", ["three", ["never", "three"]])
def test_an_answer_ends_before_a_stop_string(server: Server, stop: object) -> None:
    answer = server.chat("one two three four", stop=stop).json()
    assert answer["choices"][0]["message"]["content"] == "one two "
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_null_is_as_good_as_absent(server: Server) -> None:
    nulls: dict[str, Any] = dict.fromkeys([*NOT_HONOURED, *OPTIONAL])
    assert server.chat("hi", **nulls).status_code == 200
    assert server.chat(stream_options={"include_usage": None}).status_code == 200


def test_fields_that_openai_does_not_know_are_let_through(server: Server) -> None:
    with server.stock() as client:
        answer = client.chat.completions.create(
            model="heed",
            messages=[{"role": "user", "content": "hi", "mood": "good"}],  # type: ignore[list-item]
            extra_body={"chat_id": "c1", "session_id": {"deep": [1]}},
        )
    assert answer.choices[0].message.content == "hi"


ASKS_FOR_NOTHING: dict[str, tuple[Any, ...]] = {
    **NOT_HONOURED,
    "n": (1,),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
}


@pytest.mark.parametrize("name", sorted(ASKS_FOR_NOTHING))
def test_what_asks_for_nothing_is_let_through(server: Server, name: str) -> None:
    for value in ASKS_FOR_NOTHING[name]:
        assert server.chat(**{name: value}).status_code == 200


def test_every_exchange_is_logged_with_what_a_round_needs(server: Server) -> None:
    identity = server.asked(
        messages=[
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ],
        metadata={"conversation_id": "talk-1", "page": "shop"},
        safety_identifier="ana",
        temperature=0.5,
        seed=7,
    )
    logged = server.exchange(identity)
    people = people_key(server.store.settings.data_dir)
    assert logged.person_id == people.person_id("user:ana")
    assert logged.people_key_id == people.id
    assert (logged.adapter_id, logged.base_hash) == ("base", server.parts.engine.base_hash)
    assert (logged.conversation_id, logged.turn) == ("talk-1", 2)
    assert logged.tags == {"conversation_id": "talk-1", "page": "shop"}
    assert [message["content"] for message in logged.messages] == ["one", "two", "three"]
    assert logged.choices == [{"index": 0, "text": "three", "finish_reason": "stop"}]
    assert (logged.sampling["temperature"], logged.sampling["seed"]) == (0.5, 7)
    assert (logged.state, logged.origin, logged.key_id) == ("complete", "chat", None)
    assert (logged.prompt_tokens, logged.completion_tokens) == (6, 1)


@pytest.mark.parametrize("header", ["X-Heed-Conversation", "X-OpenWebUI-Chat-Id"])
def test_a_conversation_may_be_named_in_a_header(server: Server, header: str) -> None:
    body = {"model": "heed", "messages": HELLO}
    answer = server.http.post("/v1/chat/completions", json=body, headers={header: "talk-2"})
    assert server.exchange(answer.json()["id"]).conversation_id == "talk-2"


def test_user_and_safety_identifier_name_the_same_person(server: Server) -> None:
    old, new, other = (
        server.exchange(server.asked(**{name: who})).person_id
        for name, who in (("user", "bo"), ("safety_identifier", "bo"), ("user", "cy"))
    )
    assert old == new != other


def test_no_user_name_is_anywhere_in_the_database(server: Server) -> None:
    name = "Wilhelmina-Q-Unmistakable"
    identity = server.asked(user=name)
    server.chat(safety_identifier=name, stream=True)
    server.told(completion_id=identity, user=name, rating="up")
    server.told(completion_id=identity, user=name, correction="no")
    assert identity in server.everything()
    assert name not in server.everything()


def test_store_false_logs_nothing(server: Server) -> None:
    said = "a secret that leaves no trace"
    identity = server.asked(said, store=False)
    streamed = server.chat(said, store=False, stream=True)
    assert "trace" in streamed.text
    assert said not in server.everything()
    assert identity not in server.everything()
    assert server.tell(completion_id=identity, rating="up").status_code == 404


def test_a_client_that_leaves_midway_leaves_a_partial_exchange(slow: Server) -> None:
    body = {"model": "heed", "messages": [{"role": "user", "content": "word " * 400}]}
    with slow.http.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
        lines = answer.iter_lines()
        identity = next(json.loads(line[6:])["id"] for line in lines if line)
        next(line for line in lines if "word" in line)
    # Not by looking for it in the files: they show it before it is committed.
    wait_until(lambda: not slow.parts.in_flight and not slow.parts.tasks)
    logged = slow.exchange(identity)
    assert logged.state == "partial"
    assert logged.choices[0]["finish_reason"] == "cancelled"
    assert logged.choices[0]["text"].startswith("word")
    assert 0 < logged.completion_tokens < 400
    assert slow.told(completion_id=identity, rating="down")
    wait_until(lambda: slow.http.get("/readyz").json()["running"] == 0)
    assert slow.parts.in_flight == 0


def test_nobody_waiting_for_a_whole_answer_ends_it_early(slow: Server) -> None:
    body = {"model": "heed", "messages": [{"role": "user", "content": "word " * 400}]}
    with pytest.raises(httpx.ReadTimeout):
        slow.http.post("/v1/chat/completions", json=body, timeout=0.2)
    wait_until(lambda: slow.http.get("/readyz").json()["running"] == 0)
    wait_until(lambda: "partial" in slow.everything())
    assert slow.parts.in_flight == 0


def test_an_answer_can_be_had_again(server: Server) -> None:
    identity = server.asked("say it again", metadata={"page": "shop"})
    with server.stock() as client:
        again = client.chat.completions.retrieve(identity)
    assert again.id == identity
    assert again.choices[0].message.content == "say it again"
    assert again.choices[0].finish_reason == "stop"
    assert again.usage is not None
    assert again.usage.completion_tokens == 3
    missing = server.http.get("/v1/chat/completions/chatcmpl-none")
    assert missing.status_code == 404
    assert fault(missing)["param"] == "completion_id"


def test_models_are_listed_and_shown(server: Server) -> None:
    refused, good = server.publish(state="rejected"), server.publish()
    with server.stock() as client:
        names = [model.id for model in client.models.list()]
        assert client.models.retrieve(good).id == good
    assert names[:2] == ["heed", "base"]
    assert good in names
    assert refused not in names
    assert fault(server.http.get(f"/v1/models/{refused}"))["param"] == "model"


def test_so_many_requests_are_in_flight_and_no_more(settings: FeedbackSettings) -> None:
    body = {"model": "heed", "stream": True, "messages": [{"role": "user", "content": "w " * 99}]}
    with running(settings, EchoEngine(delay_seconds=0.02), max_waiting=1) as busy:
        with busy.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.iter_lines()  # kept: letting go of it ends the answer
            next(lines)
            refused = busy.chat()
        wait_until(lambda: busy.parts.in_flight == 0)
        assert busy.chat("hi").status_code == 200
    assert refused.status_code == 429
    assert refused.headers["retry-after"]
    assert fault(refused)["type"] == "rate_limit_error"
