"""The client of the latency benchmark: it sends when a request is due, and tells the wait from then."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks import load, open_loop

HELD_SECONDS = 0.2
ANSWER = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def answering(answer: Callable[[int], bytes]) -> Iterator[tuple[str, int]]:
    """A server for one connection; the answers by number."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            talk, _ = door.accept()
            with talk:
                number, heard = 0, b""
                while some := talk.recv(65_536):
                    heard += some
                    while heard.count(b"{}"):
                        heard = heard.partition(b"{}")[2]
                        talk.sendall(answer(number))
                        number += 1

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield door.getsockname()[:2]
        serving.join(10)


def sent(address: tuple[str, int], count: int, per_second: float = 2000) -> open_loop.Sent:
    asked = [load.post("/v1/feedback", {})] * count
    return open_loop.send(address, asked, per_second=per_second, connections=1, expected=201)


def test_every_request_is_answered_and_timed() -> None:
    with answering(lambda number: ANSWER) as address:
        found = sent(address, 300)
    assert len(found.waits) == len(found.late) == 300
    assert all(0 < wait < 10 for wait in found.waits)
    assert found.processor_seconds > 0


def test_an_answer_that_is_held_up_makes_those_behind_it_wait_too() -> None:
    """A client that only began to count when it could send would show one slow request."""

    def held(number: int) -> bytes:
        if number == 0:
            threading.Event().wait(HELD_SECONDS)
        return ANSWER

    with answering(held) as address:
        found = sent(address, 50, per_second=1000)
    # The last was due 49 ms after the first.
    assert min(found.waits) > HELD_SECONDS - 0.1


def test_an_answer_that_was_not_meant_to_come_ends_it() -> None:
    with (
        answering(lambda number: ANSWER.replace(b"201", b"503")) as address,
        pytest.raises(RuntimeError, match="broke off"),
    ):
        sent(address, 10)
