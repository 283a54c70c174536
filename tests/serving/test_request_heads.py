"""Heads that have no end or make no sense, and requests sent ahead, over real sockets."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from websockets.sync.client import connect

from serving.receive_deadline import HEAD_BYTES, receiving_within
from tests.serving.up_process import Up, asking, get, heed_up, the_rest, until

SECONDS = 0.5
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("heads")
    with heed_up(
        folder,
        delay_seconds=0.02,
        receive_seconds=SECONDS,
        keep_alive_seconds=1,
        drain_seconds=0,
    ) as served:
        yield served


def refused(door: socket.socket) -> tuple[int, str]:
    """The status and code with which a connection is closed."""
    head, _, body = the_rest(door).partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head[9:12]), json.loads(body)["error"]["code"]


def chunked(content: bytes, size: int) -> bytes:
    """A body in chunks of so many bytes, without its end."""
    parts = (content[at : at + size] for at in range(0, len(content), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


def send(door: socket.socket, content: bytes) -> None:
    """Send, also to one who has stopped listening."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        door.sendall(content)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * HEAD_BYTES + b"\r\n\r\n",
        b"GET /healthz?" + b"x" * HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * HEAD_BYTES + b"\r\n",
    ],
    ids=["a header", "an address", "many headers"],
)
def test_a_head_that_is_too_large_is_refused(up: Up, head: bytes) -> None:
    door = up.connect()
    send(door, head)
    assert refused(door) == (431, "too_large")


def test_a_head_without_end_is_refused_before_its_time_is_over(tmp_path: Path) -> None:
    with heed_up(tmp_path, receive_seconds=60) as patient:
        door = patient.connect()
        door.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(HEAD_BYTES // 1000 + 200):
            send(door, b"x" * 1000)
        assert refused(door) == (431, "too_large")


def test_what_follows_the_last_chunk_is_no_place_to_hide(tmp_path: Path) -> None:
    with heed_up(tmp_path, receive_seconds=60) as patient:
        door = patient.connect()
        door.sendall(ASK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"{", 1) + b"0\r\nX: ")
        for _ in range(HEAD_BYTES // 1000 + 200):
            send(door, b"x" * 1000)
        assert refused(door) == (431, "too_large")


def test_a_body_in_very_small_chunks_is_read(up: Up) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "x" * HEAD_BYTES}]}).encode()
    door = up.connect()
    door.sendall(ASK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, 1) + b"0\r\n\r\n")
    said = until(door, b"}}")
    assert said.startswith(b"HTTP/1.1 400") and b"model" in said  # it names none


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n\r\n",
        ASK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        ASK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"nonsense\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    ],
    ids=["no host", "two hosts", "two framings", "two lengths", "nonsense", "address", "tunnel"],
)
def test_what_is_no_request_is_refused_in_the_shape_of_every_error(up: Up, request_: bytes) -> None:
    door = up.connect()
    door.sendall(request_)
    assert refused(door) == (400, "invalid")


def test_an_empty_line_does_not_hold_an_idle_connection(up: Up) -> None:
    door = up.connect()
    door.sendall(get("/healthz"))
    until(door, b"}")
    door.sendall(b"\r\n")
    began = time.monotonic()
    assert refused(door) == (408, "request_timeout")
    assert time.monotonic() - began < 20 * SECONDS


def test_an_answer_given_before_the_body_came_leaves_no_connection_open_for_ever(up: Up) -> None:
    door = up.connect()
    door.sendall(b"DELETE /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
    until(door, b"}}")
    door.sendall(b"abc")
    began = time.monotonic()
    assert the_rest(door) == b""
    assert 0.5 < time.monotonic() - began < 20


def test_half_a_request_sent_ahead_does_not_disturb_the_answer_before_it(up: Up) -> None:
    door = up.connect()
    door.sendall(asking(60, stream=True) + asking(30)[:-5])
    said = until(door, b"[DONE]\n\n\r\n0\r\n\r\n")
    assert b"request_timeout" not in said
    assert said.count(b"data: ") > 60
    assert refused(door) == (408, "request_timeout")


def test_whole_requests_sent_ahead_are_answered_in_their_order(up: Up) -> None:
    door = up.connect()
    door.sendall(asking(3) + get("/v1/nowhere") + get("/healthz"))
    said = until(door, b'"ok"')
    places = [said.index(each) for each in (b"chat.completion", b"no GET /v1/nowhere", b'"ok"')]
    assert places == sorted(places)


def test_who_offers_another_protocol_is_answered_in_this_one(up: Up) -> None:
    door = up.connect()
    offer = b"Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    request = asking(1).replace(b"Host: localhost\r\n", offer + b"HTTP2-Settings: AAMAAABk\r\n")
    for _ in range(2):
        door.sendall(request)
        assert until(door, b"}}").startswith(b"HTTP/1.1 200 OK")
    ahead = get("/healthz").replace(b"Host: localhost\r\n", offer)
    door.sendall(ahead * 1500)
    answered = 0
    while answered < 1500:
        answered += door.recv(65_536).count(b"HTTP/1.1 200 OK")


def test_a_websocket_is_handed_on_and_not_timed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})

    config = uvicorn.Config(
        app, port=0, http=receiving_within(SECONDS), lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run)
    serving.start()
    try:
        while not server.started:
            assert serving.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with connect(f"ws://127.0.0.1:{port}/") as talk:
            for said in ("one", "two"):
                talk.send(said)
                assert talk.recv() == said.upper()
                time.sleep(2 * SECONDS)  # longer than a request may take
    finally:
        server.should_exit = True
        serving.join()
