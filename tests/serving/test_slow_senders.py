"""Requests that arrive slowly or never, over real sockets: cut off in time, and nobody else with them."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.up_process import Up, asking, get, heed_up, the_rest, until

SECONDS = 0.6


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("slow-senders")
    with heed_up(folder, delay_seconds=0.02, receive_seconds=SECONDS, drain_seconds=0) as served:
        yield served


def cut_after(door: socket.socket) -> tuple[bytes, float]:
    """What is said until the other side closes, and after how many seconds that is."""
    began = time.monotonic()
    said = the_rest(door)
    return said, time.monotonic() - began


def timed_out(said: bytes, part: str) -> bool:
    """Whether a client is told that a part of its request came too late."""
    head, _, body = said.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert head.startswith(b"HTTP/1.1 408 "), head
    assert b"connection: close" in head.lower()
    assert (error["code"], error["type"]) == ("request_timeout", "invalid_request_error")
    return f"request's {part} did not arrive" in error["message"]


def drip(door: socket.socket, content: bytes, *, pause_seconds: float) -> float:
    """Send byte by byte until the other side has closed; returns for how many seconds it took them."""
    began = time.monotonic()
    door.settimeout(pause_seconds)
    for index in range(len(content)):
        try:
            door.sendall(content[index : index + 1])
            if door.recv(65_536) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        raise AssertionError("it took them all")
    return time.monotonic() - began


def test_a_head_that_does_not_end_is_cut_off(up: Up) -> None:
    door = up.connect()
    door.sendall(asking(1)[:40])
    said, seconds = cut_after(door)
    assert timed_out(said, "head")
    assert SECONDS * 0.9 < seconds < 20 * SECONDS


def test_a_body_that_does_not_come_is_cut_off(up: Up) -> None:
    door = up.connect()
    door.sendall(asking(30)[:-5])
    said, seconds = cut_after(door)
    assert timed_out(said, "body")
    assert SECONDS * 0.9 < seconds < 20 * SECONDS


@pytest.mark.parametrize("sent_at_once", [0, 160])
def test_a_byte_now_and_then_does_not_help(up: Up, sent_at_once: int) -> None:
    door = up.connect()
    request = asking(200)
    door.sendall(request[:sent_at_once])
    seconds = drip(door, request[sent_at_once:], pause_seconds=0.02)
    assert SECONDS * 0.9 < seconds < 20 * SECONDS


def test_a_connection_that_says_nothing_is_closed_without_a_word(up: Up) -> None:
    said, seconds = cut_after(up.connect())
    assert said == b""
    assert SECONDS * 0.9 < seconds < 20 * SECONDS


def test_the_body_has_its_own_time_after_the_head(up: Up) -> None:
    door = up.connect()
    request = asking(1)
    body_at = request.index(b"\r\n\r\n") + 4
    door.sendall(request[:20])
    time.sleep(0.6 * SECONDS)
    door.sendall(request[20 : body_at + 9])
    time.sleep(0.6 * SECONDS)
    door.sendall(request[body_at + 9 :])
    assert until(door, b"\r\n").startswith(b"HTTP/1.1 200 OK")


def test_a_long_answer_is_left_alone(up: Up) -> None:
    door = up.ask(80, stream=True)
    began = time.monotonic()
    said = until(door, b"[DONE]")
    assert time.monotonic() - began > 2 * SECONDS
    assert said.count(b"data: ") > 80


def test_an_idle_connection_is_kept_and_its_next_request_timed_anew(up: Up) -> None:
    door = up.connect()
    door.sendall(get("/healthz"))
    until(door, b"}")
    time.sleep(2 * SECONDS)
    door.sendall(asking(1))
    assert until(door, b"}}").startswith(b"HTTP/1.1 200 OK")
    time.sleep(2 * SECONDS)
    door.sendall(get("/healthz")[:10])
    said, seconds = cut_after(door)
    assert timed_out(said, "head")
    assert SECONDS * 0.9 < seconds < 20 * SECONDS


def test_a_request_sent_ahead_of_the_answer_is_timed_once_it_is_read(up: Up) -> None:
    door = up.connect()
    door.sendall(asking(30) + get("/healthz")[:10])
    said = until(door, b"}}")
    assert said.startswith(b"HTTP/1.1 200 OK")
    said, seconds = cut_after(door)
    assert timed_out(said, "head")
    assert SECONDS * 0.9 < seconds < 20 * SECONDS


def test_a_body_that_nobody_waits_for_may_not_take_for_ever_either(up: Up) -> None:
    door = up.connect()
    # Answered from its head alone; what is left of the body keeps the connection busy.
    door.sendall(b"DELETE /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n")
    assert until(door, b"}}").startswith(b"HTTP/1.1 404")
    assert drip(door, b" " * 900, pause_seconds=0.02) < 20 * SECONDS


def test_others_are_served_meanwhile(up: Up) -> None:
    held = [up.connect() for _ in range(50)]
    for door in held:
        door.sendall(asking(1)[:40])
    assert until(up.ask(1), b"}}").startswith(b"HTTP/1.1 200 OK")
    assert all(timed_out(the_rest(door), "head") for door in held)


def test_nothing_of_all_this_is_a_failure(up: Up) -> None:
    door = up.connect()
    door.sendall(asking(30)[:-5])
    the_rest(door)
    assert "Traceback" not in up.log
    assert "no complete body within 0.6 s" in up.log


def test_an_idle_connection_is_kept_as_long_as_the_setting_says(tmp_path: Path) -> None:
    with heed_up(tmp_path, keep_alive_seconds=1) as served:
        door = served.connect()
        door.sendall(b"GET /healthz HTTP/1.1\r\nHost: heed\r\n\r\n")
        assert b" 200 " in door.recv(65_536)
        said, seconds = cut_after(door)
    assert 0.9 < seconds < 30
    assert not said.startswith(b"HTTP/1.1")
