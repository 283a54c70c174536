"""Bytes that no client of good will sends, to every route that takes any: never a fault of the server's.

What schemathesis makes up (`test_schemathesis.py`) is JSON that can be sent; this is the rest.
"""

import socket
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from tests.serving.conftest import PATIENCE_SECONDS, Server

BODIES = [
    b"",
    b"\xff\xfe\x00",
    b'{"model": "\xed\xa0\x80"}',
    b"{",
    b"null",
    b"1e400",
    b"NaN",
    b"[" * 20_000 + b"]" * 20_000,
    b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    b"9" * 5000,
    b'"\\ud800"',
    b'{"\\u0000": "\\u0000"}',
    "{}".encode("utf-16"),
]
KINDS = [
    b"application/json",
    b"application/x-ndjson",
    b"application/json; charset=nope",
    b"multipart/form-data",
    b"\xff",
    b"",
]
NAMES = [b"%00", b"%ff", b"%ed%a0%80", b"%2e%2e%2f", b"%", b"%zz", b"x" * 5000, b"'", b"%0d%0a"]
NUMBERS = [b"", b"0", b"-1", b"2147483648", b"9223372036854775808", b"1e400", b"NaN", b"9" * 5000]
LARGE = {
    "/v1/chat/completions": ["max_tokens", "n", "seed", "temperature", "top_logprobs"],
    "/v1/completions": ["max_tokens", "n", "seed", "logprobs"],
    "/v1/feedback": ["choice", "created_at", "rating", "scale", "value"],
}


def test_a_body_that_is_no_request_is_refused_by_every_route(own: Server) -> None:
    for path, kind in product(_taking_bodies(own), KINDS):
        # All bodies as what they should be; as what they should not, one.
        for body in BODIES if kind.startswith(b"application/") else BODIES[-1:]:
            answer = _send(own, b"POST", path, body, {b"Content-Type": kind})
            assert 200 <= answer < 500, (path, kind, body[:80], answer)


def test_numbers_beyond_every_integer_are_refused_or_kept(server: Server) -> None:
    completion = server.asked()
    plain: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {
            "model": "heed",
            "messages": [{"role": "user", "content": "hi"}],
            "logprobs": True,
        },
        "/v1/completions": {"model": "heed", "prompt": "hi"},
        "/v1/feedback": {"completion_id": completion, "signal": "dwell"},
    }
    for path, names in LARGE.items():
        for name, number in product(names, (2**63, -(2**63) - 1, 10**30, 1e308)):
            answer = server.http.post(path, json={**plain[path], name: number})
            assert answer.status_code < 500, (path, name, number, answer.text)
            if answer.status_code < 300:
                # What was taken can be read again, by either database.
                told = answer.json()["id"]
                assert server.http.get(f"{path}/{told}").status_code in (200, 404)


def test_names_and_pages_that_make_no_sense_are_refused_by_every_route(server: Server) -> None:
    paths = server.http.get("/openapi.json").json()["paths"]
    targets = [
        (method, path.replace("{", "\0").split("\0")[0].encode() + name + after.encode())
        for path, methods in paths.items()
        for method, name in product(methods, NAMES)
        if "{" in path
        for after in [path.partition("}")[2]]
    ]
    targets += [
        (method, f"{path}?{parameter['name']}=".encode() + number)
        for path, methods in paths.items()
        for method, operation in methods.items()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
        for number in [*NUMBERS, *NAMES]
    ]
    for method, target in targets:
        answer = _send(server, method.upper().encode(), target, b"", {})
        assert 200 <= answer < 500, (method, target[:120], answer)


@pytest.mark.parametrize("name", [b"Authorization", b"Idempotency-Key", b"Origin", b"traceparent"])
def test_headers_that_make_no_sense_or_come_twice_do_no_harm(server: Server, name: bytes) -> None:
    body = b'{"model": "heed", "messages": [{"role": "user", "content": "hi"}]}'
    kind = {b"Content-Type": b"application/json"}
    for value in (b"\xff\xfe", b"", b"x" * 5000, b"Bearer \xc3\xa9", b"00-zz", b"http://[::1"):
        for twice in (False, True):
            headers = {**kind, name: value, **({name.upper(): value} if twice else {})}
            answer = _send(server, b"POST", b"/v1/chat/completions", body, headers)
            assert 200 <= answer < 500, (name, value, answer)


def _taking_bodies(server: Server) -> Iterator[bytes]:
    for path, methods in server.http.get("/openapi.json").json()["paths"].items():
        if "post" in methods:
            yield path.replace("{", "").replace("}", "").encode()


def _send(
    server: Server, method: bytes, target: bytes, body: bytes, headers: dict[bytes, bytes]
) -> int:
    """Send it as it is; returns the status, once the whole answer has been read."""
    host, port = server.url.removeprefix("http://").split(":")
    every = {b"Host": b"127.0.0.1", b"Connection": b"close", **headers}
    every[b"Content-Length"] = str(len(body)).encode()
    lines = [method + b" " + target + b" HTTP/1.1", *(k + b": " + v for k, v in every.items())]
    with socket.create_connection((host, int(port)), PATIENCE_SECONDS) as line:
        line.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        answer = b"".join(iter(lambda: line.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 "), (method, target[:120], answer[:80])
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        assert rest.endswith(b"0\r\n\r\n"), f"the answer to {target[:120]!r} breaks off"
    return int(answer[9:12])
