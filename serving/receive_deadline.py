"""Cuts off senders that take too long over a request; uvicorn itself would wait for ever.

The head of a request has so many seconds from its first byte (on a new connection: from the
connection), its body as many again. Between requests uvicorn's keep-alive timer rules, and an answer
may take as long as it takes. Knows nothing of what is asked.
"""

import asyncio
import json
import logging
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger("heed.server")

_NOTHING, _HEAD, _BODY = "nothing", "head", "body"


def receiving_within(seconds: float) -> type[H11Protocol]:
    """Return a protocol class for `uvicorn.Config(http=…)` that waits so long and no longer.

    It builds on h11, which uvicorn always brings along, and not on the parser that uvicorn would
    choose: which one is installed must not decide whether slow senders are cut off.
    """
    return type("ReceiveDeadline", (_ReceiveDeadline,), {"receive_seconds": seconds})


class _ReceiveDeadline(H11Protocol):
    receive_seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaited = _NOTHING
        self._heard = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of a connection it is one that reads and writes; uvicorn's own signature takes no other.
        super().connection_made(cast(asyncio.Transport, transport))
        self._expect(_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(_NOTHING)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)
        self._expect(self._missing())

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # What the client sent ahead is read only now.
        self._expect(self._missing())

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._expect(_NOTHING)
        super().handle_websocket_upgrade(event)

    def _missing(self) -> str:
        """The part of a request that has begun to arrive and is not complete."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return _NOTHING
        if self.conn.their_state is h11.SEND_BODY:
            return _BODY
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            return _HEAD
        return _NOTHING

    def _expect(self, part: str) -> None:
        """Start the clock for a part, unless it runs for this one already."""
        if part == self._awaited:
            return
        self._awaited = part
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if part != _NOTHING:
            self._timer = self.loop.call_later(self.receive_seconds, self._expired)

    def _expired(self) -> None:
        part, self._timer = self._awaited, None
        answering = (
            self.cycle is not None
            and self.cycle.response_started
            and not self.cycle.response_complete
        )
        if self.flow.read_paused or answering:
            # It is we who do not read, or who still speak.
            self._timer = self.loop.call_later(self.receive_seconds, self._expired)
            return
        if self.transport.is_closing():
            return
        log.info("cut off %s: no complete %s within %g s", self.client, part, self.receive_seconds)
        # A connection that was only opened ahead of need is closed without a word, as is one whose
        # request has been answered already.
        if self._heard and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._say_why(part)
        if self.cycle is not None:
            self.cycle.disconnected = True  # whoever still waits for the body finds the client gone
        self.transport.close()

    def _say_why(self, part: str) -> None:
        fault = {
            "message": f"The request's {part} did not arrive within {self.receive_seconds:g} s.",
            "type": "invalid_request_error",
            "param": None,
            "code": "request_timeout",
        }
        content = json.dumps({"error": fault}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"connection", b"close"),
        ]
        answer = (
            h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
            h11.Data(data=content),
            h11.EndOfMessage(),
        )
        for event in answer:
            self.transport.write(self.conn.send(event) or b"")
