"""What chat refuses: always with a 4xx in OpenAI's shape that names the field."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.serving.conftest import Server, fault

HELLO = {"role": "user", "content": "hello"}
ASKED_FOR: dict[str, Any] = {
    "n": 5,
    "top_logprobs": 3,
    "logit_bias": {"5": 1},
    "presence_penalty": 2.5,
    "frequency_penalty": -3,
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "required",
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
    "audio": {"voice": "a", "format": "mp3"},
    "modalities": ["text", "audio"],
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "reasoning_effort": "high",
    "verbosity": "low",
    "service_tier": "priority",
    "moderation": {"mode": "block"},
}


@pytest.mark.parametrize("name", sorted(ASKED_FOR))
def test_a_known_field_that_cannot_be_honoured_is_refused(server: Server, name: str) -> None:
    answer = server.chat(**{name: ASKED_FOR[name]})
    assert answer.status_code == 400
    assert fault(answer)["param"] == name


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [HELLO, {"role": "tool", "content": "x"}]}, "messages[1].role"),
        ({"messages": [HELLO, {"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": "a\x00b"}]}, "messages[0].content"),
        ({"messages": [HELLO] * 3000}, "messages"),
        ({"max_tokens": 2000}, "max_tokens"),
        ({"max_completion_tokens": 2000}, "max_completion_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, "messages"),
        ({"messages": [{"role": "user", "content": "w" * 200_000}]}, "messages"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": "\x00"}, "stop"),
        ({"model": "gpt-4"}, "model"),
        ({"model": "adp_00000000000000000000000000"}, "model"),
        ({"model": "../../etc/passwd"}, "model"),
        ({"model": "a\x00"}, "model"),
        ({"model": ""}, "model"),
        ({"metadata": {"conversation_id": "a\x00"}}, "metadata"),
        ({"metadata": {"conversation_id": "x" * 201}}, "metadata.conversation_id"),
        ({"metadata": {"page": 5}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"user": "x" * 513}, "user"),
        ({"stream": "perhaps"}, "stream"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    server: Server, fields: dict[str, Any], param: str
) -> None:
    for stream in ({}, {"stream": True}):
        answer = server.chat(**{**stream, **fields})
        assert answer.status_code in (400, 404), answer.text
        assert fault(answer)["param"] == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (rb'{"model": "heed", "messages": [{"role": "user", "content": "\ud800"}]}', "messages"),
        (rb'{"model": "\ud800", "messages": [{"role": "user", "content": "a"}]}', "model"),
        (
            rb'{"model": "heed", "user": "\ud800", "messages": [{"role": "user", "content": "a"}]}',
            "user",
        ),
        (
            rb'{"model":"heed","metadata":{"a":"\udfff"},"messages":[{"role":"user","content":"a"}]}',
            "metadata",
        ),
        (rb'{"model": "heed", "messages": [{"role": "\ud800", "content": "a"}]}', "messages"),
    ],
)
def test_half_a_surrogate_pair_is_refused(server: Server, body: bytes, param: str) -> None:
    answer = post(server, body)
    assert answer.status_code == 400, answer.text
    assert (fault(answer)["param"] or "").startswith(param)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"hello"', b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000]
)
def test_a_body_that_is_no_object_is_refused(server: Server, body: bytes) -> None:
    answer = post(server, body)
    assert answer.status_code == 400, answer.text
    fault(answer)


def test_a_body_that_is_not_json_says_where_it_stops_being_so(server: Server) -> None:
    assert "character 14" in fault(post(server, b'{"model": "a",'))["message"]


def test_the_stock_client_reads_our_errors(server: Server) -> None:
    with server.stock() as client, pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "a"}])
    assert caught.value.param == "model"
    assert caught.value.code == "not_found"
    assert caught.value.type == "invalid_request_error"
    assert "`heed`" in caught.value.message
    with server.stock() as client, pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="heed", messages=[{"role": "user", "content": "a"}], n=5, stream=True
        )
    assert refused.value.param == "n"


def test_a_body_over_the_limit_is_refused(server: Server) -> None:
    most = server.parts.settings.serving.max_body_bytes
    answer = post(server, b" " * (most + 1))
    assert answer.status_code == 413
    assert f"{most:,}" in fault(answer)["message"]
    assert post(server, body_of(most)).status_code == 400  # read, and too long for the context


def test_a_body_over_the_limit_is_refused_without_a_length(server: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        content=endless(),
        headers={"content-type": "application/json"},
    )
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.status_code == 413
    fault(answer)


def test_a_length_that_lies_is_not_believed(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(head.encode() + b" " * (server.parts.settings.serving.max_body_bytes + 1))
        assert line.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_refused_version_is_not_served(server: Server) -> None:
    name = server.publish(state="rejected")
    answer = server.chat(model=name)
    assert answer.status_code == 409
    assert fault(answer)["param"] == "model"
    assert name not in server.parts.engine.loaded()


def test_a_damaged_version_is_not_served(server: Server) -> None:
    name = server.publish()
    server.damage(name)
    answer = server.chat(model=name)
    assert answer.status_code == 400
    assert "differs from its digest" in fault(answer)["message"]


def test_a_version_for_another_base_model_is_not_served(server: Server) -> None:
    answer = server.chat(model=server.publish(base_hash="b" * 64))
    assert answer.status_code == 400
    assert "base model" in fault(answer)["message"]


def post(server: Server, body: bytes) -> httpx.Response:
    return server.http.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )


def body_of(size: int) -> bytes:
    empty = json.dumps({"model": "heed", "messages": [{"role": "user", "content": ""}]})
    return empty.replace('""', '"' + "a" * (size - len(empty)) + '"').encode()
