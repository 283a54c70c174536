"""What the stock client raises, and what it is told with it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from feedback.settings import FeedbackSettings
from serving.engines.echo import EchoEngine
from tests.serving.conftest import Server, running, wait_until

HELLO: Any = [{"role": "user", "content": "Hello!"}]
# Of which almost every way to follow it is new to the lexer: it gives up after some tokens.
TOO_COMPLEX = {
    "type": "json_schema",
    "json_schema": {
        "name": "x",
        "schema": {"type": "string", "pattern": "(a.{300}|b.{299}c|d.{298})*e.{500}"},
    },
}


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Server]:
    """A server that answers one at a time, at 20 ms a word."""
    folder = FeedbackSettings(data_dir=tmp_path / "narrow")
    with running(folder, EchoEngine(delay_seconds=0.02), max_waiting=1) as served:
        yield served


def create(client: OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": "heed", "messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"messages": [{"role": "user", "content": "tea " * 2000}]}, "messages"),
    ],
)
def test_what_cannot_be_honoured_is_a_bad_request_that_names_the_field(
    starter: Server, fields: dict[str, Any], param: str
) -> None:
    with starter.stock() as client, pytest.raises(openai.BadRequestError) as refused:
        create(client, **fields)
    error = refused.value
    assert (error.status_code, error.param, error.code) == (400, param, "invalid")
    assert error.type == "invalid_request_error"
    assert error.request_id
    assert error.body == json.loads(error.response.text)["error"]


def test_what_is_not_there_is_not_found(starter: Server) -> None:
    with starter.stock() as client:
        with pytest.raises(openai.NotFoundError) as refused:
            create(client, model="adp_none")
        assert (refused.value.param, refused.value.code) == ("model", "not_found")
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.retrieve("chatcmpl-none")
        assert refused.value.param == "completion_id"
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="heed", input="x")


@pytest.mark.parametrize("stream", [False, True])
def test_who_comes_when_it_is_full_is_told_when_to_come_back(narrow: Server, stream: bool) -> None:
    long: Any = [{"role": "user", "content": "word " * 30}]
    with narrow.stock() as client:
        with create(client, messages=long, stream=True) as busy:
            next(iter(busy))
            with pytest.raises(openai.RateLimitError) as refused:
                create(client, stream=stream)
            assert int(refused.value.response.headers["retry-after"]) >= 1
            assert (refused.value.code, refused.value.type) == ("busy", "rate_limit_error")
        wait_until(lambda: narrow.parts.in_flight == 0)
        assert create(client).choices[0].message.content == "Hello!"


def test_the_client_comes_back_by_itself_when_it_was_told_to(narrow: Server) -> None:
    long: Any = [{"role": "user", "content": "word " * 20}]
    with (
        OpenAI(base_url=f"{narrow.url}/v1", api_key="any", max_retries=2) as client,
        create(client, messages=long, stream=True) as busy,
    ):
        next(iter(busy))
        began = time.monotonic()
        raw = client.chat.completions.with_raw_response.create(model="heed", messages=HELLO)
    assert time.monotonic() - began >= 1
    assert raw.retries_taken == 1
    assert narrow.exchange(raw.parse().id).choices[0]["text"] == "Hello!"


def test_a_key_that_is_none_and_one_that_may_not(narrow: Server) -> None:
    with narrow.stock() as early:
        before = create(early)
    for role in ("admin", "client"):
        key_id, _ = narrow.key(role)
    with narrow.stock("sk-wrong") as client, pytest.raises(openai.AuthenticationError) as refused:
        create(client)
    assert (refused.value.status_code, refused.value.code) == (401, "unauthorized")
    with narrow.stock(narrow.keys[key_id]) as client:
        assert create(client).choices[0].message.content == "Hello!"
        with pytest.raises(openai.PermissionDeniedError) as forbidden:
            client.chat.completions.retrieve(before.id)
        assert forbidden.value.code == "forbidden"


def test_an_error_within_a_stream_reaches_the_client_whole(starter: Server) -> None:
    fields = {"stream": True, "temperature": 2, "seed": 1, "max_tokens": 400}
    text, ids = "", set()
    with starter.stock() as client, pytest.raises(openai.APIError) as broken:
        for chunk in create(client, response_format=TOO_COMPLEX, **fields):
            ids.add(chunk.id)
            text += chunk.choices[0].delta.content or ""
    assert not isinstance(broken.value, openai.APIStatusError)
    assert broken.value.param == "response_format"
    assert (broken.value.code, broken.value.type) == ("invalid", "invalid_request_error")
    assert "simpler" in broken.value.message
    wait_until(lambda: not starter.parts.tasks and not starter.parts.in_flight)
    logged = starter.exchange(ids.pop())
    assert (logged.state, logged.choices[0]["text"]) == ("partial", text)
    assert len(text) > 10
