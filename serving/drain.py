"""The end of a running server: what has begun is finished, nothing new begins, and all of it in time.

ASGI middleware around the whole application. Knows nothing of signals, sockets or chats.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.errors import Unavailable
from serving import logs, wire

log = logging.getLogger("heed.server")

STILL_ANSWERED = ("/healthz", "/metrics")
_RETRY_AFTER_SECONDS = 2
_LAST_WORD_SECONDS = 0.5
"""A reader who does not take the last word within this time goes without."""


class Drain:
    """Counts what is in flight; once begun, refuses what is new and in the end cuts what is left.

    Args:
        app: the application.
        seconds: what is in flight when the end begins has this long.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds
        self._flights: set[_Flight] = set()
        self._draining = False
        self._changed = asyncio.Event()
        self._hurry = False

    @property
    def in_flight(self) -> int:
        """Requests whose answers are not complete."""
        return len(self._flights)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._draining and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1012})
        elif scope["type"] == "websocket" or (self._draining and scope["path"] in STILL_ANSWERED):
            await self._app(scope, receive, send)
        elif self._draining:
            stamp = {logs.HEADER: logs.asked(Headers(scope=scope)).request_id}
            await _refuse(send, self._refusal(scope["path"]), stamp)
        else:
            flight = _Flight(scope["method"], send)
            self._flights.add(flight)
            try:
                await flight.run(self._app, scope, receive)
            finally:
                self._flights.discard(flight)
                self._changed.set()

    def begin(self) -> None:
        """From now on nothing new is taken; streams that have no end of their own end here."""
        if self._draining:
            return
        self._draining = True
        log.info(
            "Shutting down: %d requests in flight have %g s to end", self.in_flight, self._seconds
        )
        for flight in self._flights:
            flight.cut(only_endless=True)
        self._changed.set()

    def hurry(self) -> None:
        """Cut what is left now."""
        self._hurry = True
        self._changed.set()

    async def finished(self) -> None:
        """Return once nothing is in flight; what is not done in time is cut."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                await self._until(lambda: not self._flights or self._hurry)
        if not self._flights:
            return
        log.warning("%d requests did not end in time and are cut", self.in_flight)
        for flight in self._flights:
            flight.cut()
        try:
            async with asyncio.timeout(2 * _LAST_WORD_SECONDS):
                await self._until(lambda: not self._flights)
        except TimeoutError:
            log.error("%d requests could not be cut", self.in_flight)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def _refusal(self, path: str) -> dict[str, Any]:
        fault = Unavailable("This Heed is shutting down. Ask again in a moment.")
        if path == "/readyz":
            return {"ready": False, "engine": fault.message, "in_flight": self.in_flight}
        return wire.error(fault)


class _Flight:
    """One request on its way through the application, which can be cut."""

    def __init__(self, method: str, send: Send) -> None:
        self._method = method
        self._send = send
        self._task: asyncio.Task[object] | None = None
        self._started = False
        self._ended = False
        self._events = False
        self._cut = False

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        """Answer the request, in this task."""
        task = self._task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        try:
            await app(scope, receive, self._pass_on)
        except asyncio.CancelledError:
            # Another may have cancelled the task too, and that one's word counts.
            if not self._cut or task.uncancel() > cancelling:
                raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_SECONDS):
                    await self._last_word()

    def cut(self, *, only_endless: bool = False) -> None:
        """End it; whatever the application leaves undone is its own to see to."""
        endless = self._method == "GET" and self._events
        if self._task is None or self._cut or self._ended or (only_endless and not endless):
            return
        self._cut = True
        self._task.cancel()

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            headers = dict(message.get("headers", ()))
            self._events = headers.get(b"content-type", b"").startswith(b"text/event-stream")
        elif not message.get("more_body", False):
            self._ended = True
        await self._send(message)

    async def _last_word(self) -> None:
        fault = wire.error(Unavailable("This Heed is shutting down and cut the answer. Ask again."))
        if self._ended:
            return
        if not self._started:
            # The application was asked in this task, and left its mark there.
            await _refuse(self._send, fault, logs.stamp())
        elif self._events:
            # Each message is a whole event, so this one stands by itself. A stream without an end
            # of its own is left without a word: its reader comes back by itself.
            said = b"" if self._method == "GET" else f"data: {json.dumps(fault)}\n\n".encode()
            await self._send({"type": "http.response.body", "body": said, "more_body": False})


async def _refuse(send: Send, said: dict[str, Any], stamp: Mapping[str, str]) -> None:
    content = json.dumps(said).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"retry-after", str(_RETRY_AFTER_SECONDS).encode()),
        (b"connection", b"close"),
        *((name.lower().encode(), value.encode()) for name, value in stamp.items()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": content})
