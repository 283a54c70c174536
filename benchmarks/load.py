"""Load over HTTP by a client that costs little, so that the server is what is measured.

Requests are bytes made beforehand; answers are read no further than their status and length. Knows
nothing of what is asked.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any, cast

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


def post(path: str, body: Any, *, kind: str = "application/json") -> bytes:
    """Return the bytes of a request; `body` is JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def as_fast_as_it_goes(
    host: str, port: int, requests: Iterator[bytes], connections: int, expected: int
) -> float:
    """Send everything, one request at a time on each connection; returns requests per second.

    Args:
        host: where the server listens.
        port: where the server listens.
        requests: what is sent; made one by one.
        connections: how many ask at once.
        expected: the status that every answer must have.

    Raises:
        RuntimeError: an answer has another status.
    """
    talks = [await _talk(host, port) for _ in range(connections)]
    answered = 0

    async def ask(talk: "_Talk") -> None:
        nonlocal answered
        for request in requests:
            check(await talk.ask(request), expected, talk)
            answered += 1

    began = time.perf_counter()
    await asyncio.gather(*(ask(talk) for talk in talks))
    seconds = time.perf_counter() - began
    for talk in talks:
        talk.close()
    return answered / seconds


def check(status: int, expected: int, talk: "_Talk") -> None:
    """Stop at an answer that was not meant to come."""
    if status != expected:
        raise RuntimeError(f"{status} in place of {expected}: {talk.said()}")


async def _talk(host: str, port: int) -> "_Talk":
    _, protocol = await asyncio.get_running_loop().create_connection(_Talk, host, port)
    return protocol


class _Talk(asyncio.Protocol):
    """One connection: a request, then its answer."""

    def __init__(self) -> None:
        self._heard = bytearray()
        self._needed = 0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if not self._needed:
            end = self._heard.find(_HEAD_END)
            if end < 0:
                return
            at = self._heard.find(_LENGTH) + len(_LENGTH)
            length = int(self._heard[at : self._heard.find(b"\r", at)])
            self._needed = end + len(_HEAD_END) + length
        if len(self._heard) >= self._needed and self._answer is not None:
            self._answer.set_result(int(self._heard[9:12]))

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        """Send a request; resolves to its status once the answer is complete."""
        assert self._transport is not None
        self._heard.clear()
        self._needed = 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def said(self) -> str:
        """The last answer."""
        return self._heard.decode(errors="replace")[:500]

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
