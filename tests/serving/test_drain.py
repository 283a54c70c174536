"""The end of a running server: `heed up` as a process, told to stop while people are answered."""

import asyncio
import contextlib
import json
import re
import signal
import time
from pathlib import Path

import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.drain import Drain
from tests.serving.up_process import asking, get, heed_up, the_rest, until, warm_up

FIRST_WORD = b'"content":"word"'


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    warm_up()


def test_running_answers_are_finished_and_new_ones_refused(tmp_path: Path) -> None:
    with heed_up(tmp_path, delay_seconds=0.02, drain_seconds=5) as up:
        stream = up.ask(40, stream=True)
        plain = up.ask(40)
        kept = up.connect()
        kept.sendall(get("/readyz"))
        assert b"200 OK" in until(kept, b"}")
        until(stream, FIRST_WORD)
        up.tell()
        time.sleep(0.1)
        refused = up.ask(1)
        said = the_rest(refused)
        assert said.startswith(b"HTTP/1.1 503")
        assert b"retry-after: " in said.lower()
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "unavailable"
        # Also on the connection that was there before; the answer ends it.
        kept.sendall(get("/readyz"))
        said = the_rest(kept)
        assert said.startswith(b"HTTP/1.1 503")
        ready = json.loads(said.partition(b"\r\n\r\n")[2])
        assert (ready["ready"], ready["in_flight"]) == (False, 2)
        alive = up.connect()
        alive.sendall(get("/healthz"))
        assert b"200 OK" in until(alive, b"}")

        assert the_rest(stream).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        body = the_rest(plain).partition(b"\r\n\r\n")[2]
        assert json.loads(body)["choices"][0]["message"]["content"].count("word") == 40
        assert up.exit_code() == 0
        assert "Traceback" not in up.log
        assert [each.state for each in up.exchanges()] == ["complete", "complete"]


def test_what_does_not_end_in_time_is_cut_and_logged_as_partial(tmp_path: Path) -> None:
    with heed_up(tmp_path, delay_seconds=0.02, drain_seconds=0.3) as up:
        stream = up.ask(900, stream=True)
        plain = up.ask(900)
        until(stream, FIRST_WORD)
        told_at = time.monotonic()
        up.tell()
        last = the_rest(stream).rstrip(b"\r\n0").split(b"data: ")[-1]
        error = json.loads(last)["error"]
        assert (error["code"], "shutting down" in error["message"]) == ("unavailable", True)
        said = the_rest(plain)
        assert said.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in said.lower()
        assert up.exit_code() == 0
        assert 0.3 <= time.monotonic() - told_at < 10
        assert "2 requests did not end in time" in up.log
        assert "Traceback" not in up.log
        logged = up.exchanges()
        assert [each.state for each in logged] == ["partial", "partial"]
        assert all(2 <= each.completion_tokens < 900 for each in logged)


def test_a_reader_who_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    with heed_up(tmp_path, drain_seconds=0.2) as up:
        deaf = up.connect(buffer_bytes=1024)
        said = " ".join(["w" * 500] * 800)
        deaf.sendall(
            asking(0, stream=True, max_tokens=900, messages=[{"role": "user", "content": said}])
        )
        time.sleep(0.5)
        told_at = time.monotonic()
        up.tell()
        assert up.exit_code() == 0
        assert time.monotonic() - told_at < 20


def test_a_second_interrupt_cuts_at_once(tmp_path: Path) -> None:
    with heed_up(tmp_path, delay_seconds=0.02, drain_seconds=60) as up:
        stream = up.ask(900, stream=True)
        until(stream, FIRST_WORD)
        up.tell(signal.SIGINT)
        time.sleep(0.2)
        assert up.running
        up.tell(signal.SIGINT)
        assert up.exit_code() == 0
        assert [each.state for each in up.exchanges()] == ["partial"]


def test_with_nothing_in_flight_it_ends_at_once(tmp_path: Path) -> None:
    with heed_up(tmp_path, drain_seconds=60) as up:
        idle = up.connect()
        idle.sendall(get("/healthz"))
        until(idle, b"}")
        told_at = time.monotonic()
        up.tell()
        assert the_rest(idle) == b""
        assert up.exit_code() == 0
        assert time.monotonic() - told_at < 30


def test_what_the_end_itself_answers_carries_the_requests_id(tmp_path: Path) -> None:
    with heed_up(tmp_path, delay_seconds=0.02, drain_seconds=0.3) as up:
        cut = up.ask(200, request_id="ticket-1")
        kept = up.ask(200)
        time.sleep(0.2)
        up.tell()
        time.sleep(0.1)
        refused = up.ask(1, request_id="ticket-2")
        unnamed = up.ask(1)
        for door, wanted in (
            (refused, "ticket-2"),
            (unnamed, "req_[^ ]+"),
            (cut, "ticket-1"),
            (kept, "req_[^ ]+"),
        ):
            head = the_rest(door).partition(b"\r\n\r\n")[0].decode()
            assert head.startswith("HTTP/1.1 503")
            assert re.search(rf"(?im)^x-request-id: {wanted}\r?$", head), head
        assert up.exit_code() == 0


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """An application whose every answer is a stream of events that does not end."""
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await asyncio.sleep(0.01)


def call(drain: Drain, **scope: str) -> "tuple[asyncio.Task[None], list[Message]]":
    """A request on its way, and what is answered."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    given = {"type": "http", "method": "GET", "path": "/", "headers": [], **scope}
    return asyncio.ensure_future(drain(given, receive, send)), sent


def test_streams_without_an_end_of_their_own_hold_nothing_up() -> None:
    async def play() -> None:
        drain = Drain(endless, seconds=60)
        followed, events = call(drain)
        answered, chunks = call(drain, method="POST")
        await asyncio.sleep(0.03)
        drain.begin()
        await asyncio.wait_for(followed, 1)
        assert events[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
        assert (answered.done(), drain.in_flight) == (False, 1)
        drain.hurry()
        await asyncio.wait_for(drain.finished(), 1)
        await asyncio.wait_for(answered, 1)
        assert b"shutting down" in chunks[-1]["body"]
        assert chunks[-1]["more_body"] is False

    asyncio.run(play())


def test_an_answer_that_cannot_be_cut_is_not_waited_for() -> None:
    async def play() -> None:
        released = asyncio.Event()

        async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
            while not released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await released.wait()

        drain = Drain(deaf, seconds=0.05)
        stubborn, _ = call(drain)
        await asyncio.sleep(0)
        drain.begin()
        began = time.monotonic()
        await drain.finished()
        assert time.monotonic() - began < 30
        assert drain.in_flight == 1
        released.set()
        await stubborn

    asyncio.run(play())


def test_a_socket_that_wants_to_stay_open_is_turned_away() -> None:
    async def play() -> None:
        drain = Drain(endless, seconds=1)
        drain.begin()
        refused, sent = call(drain, type="websocket")
        await refused
        assert sent == [{"type": "websocket.close", "code": 1012}]

    asyncio.run(play())


def test_a_request_that_is_cancelled_for_another_reason_stays_cancelled() -> None:
    async def play() -> None:
        drain = Drain(endless, seconds=1)
        task, sent = call(drain, method="POST")
        await asyncio.sleep(0.02)
        drain.hurry()
        finishing = asyncio.ensure_future(drain.finished())
        await asyncio.sleep(0)
        task.cancel()
        await finishing
        assert task.cancelled()
        assert b"shutting down" not in sent[-1]["body"]

    asyncio.run(play())
