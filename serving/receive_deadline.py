"""Cuts off senders that take too long over a request, or whose head has no end.

uvicorn itself would wait for ever, and with this parser it would keep whatever a head holds. The head
of a request has so many seconds from its first byte (on a new connection: from the connection), its
body as many again. Between requests uvicorn's keep-alive timer rules, and an answer may take as long
as it takes. Knows nothing of what is asked.
"""

import asyncio
import json
import logging
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.one_write import OneWrite

log = logging.getLogger("heed.server")

HEAD_BYTES = 65_536
"""A head may have so many, and so may what stands around the parts of a body."""
_NOTHING, _HEAD, _BODY = "nothing", "head", "body"


def receiving_within(seconds: float) -> type[HttpToolsProtocol]:
    """Return a protocol class for `uvicorn.Config(http=…)` that waits so long and no longer.

    It builds on httptools, and not on the parser that uvicorn would choose: which one is installed
    must not decide whether slow senders are cut off. (h11, in Python, takes a third of the time of a
    small request.)
    """
    return type("ReceiveDeadline", (_ReceiveDeadline,), {"receive_seconds": seconds})


class _ReceiveDeadline(HttpToolsProtocol):
    receive_seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arriving = _NOTHING
        """The part of a request that has begun to arrive and is not complete."""
        self._ended = 0
        self._unread_bytes = 0
        self._too_large = False
        self._awaited = _NOTHING
        self._heard = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of a connection it is one that reads and writes; uvicorn's own signature takes no other.
        whole = cast(asyncio.Transport, transport)
        super().connection_made(cast(asyncio.Transport, OneWrite(whole, self.loop)))
        self._arriving = _HEAD
        self._expect(_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(_NOTHING)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._unread_bytes += len(data)
        ended = self._ended
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._let_go():
            self._expect(_NOTHING)
            return
        if self._arriving == _NOTHING and self._ended == ended:
            self._arriving = _HEAD  # empty lines before it are part of it
        if self._arriving != _NOTHING:
            if self._unread_bytes > HEAD_BYTES:
                self._refuse_size()
        elif self._rests() and self.timeout_keep_alive_task is None:
            # The last of a body that nobody waited for: answered already, and not timed any more.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._expect(self._arriving)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arriving = _HEAD
        self._unread_bytes = 0

    def on_headers_complete(self) -> None:
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
        self._too_large = size > HEAD_BYTES
        if self._too_large:
            raise ValueError("the head is too large")
        if hosts != 1 and self.parser.get_http_version() == "1.1":
            # RFC 9112, section 3.2: who is asked must be clear.
            raise ValueError("a request names one host")
        if self.parser.should_upgrade() and not self._should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("this is no proxy")
            return  # the parser leaves it at that, and is asked again
        super().on_headers_complete()
        self._arriving = _BODY
        self._unread_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._arriving == _HEAD:
            return  # it offers another protocol, and all of it is read again without that
        self._arriving = _NOTHING
        self._unread_bytes = 0
        self._ended += 1
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._let_go():
            self._expect(_NOTHING)
            return
        if self._arriving != _NOTHING:
            self._unset_keepalive_if_required()
        if self._arriving == _HEAD:
            self._expect(_NOTHING)  # what was sent ahead is timed from now on
        self._expect(self._arriving)

    def handle_websocket_upgrade(self) -> None:
        self.transport = cast(OneWrite, self.transport).transport  # what follows is no answer
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request."""
        if self._too_large:
            self._refuse_size()
            return
        self._refuse(400, "invalid", f"{msg} Send HTTP/1.1 as in RFC 9112, with one Host.")
        self._hang_up()

    def _feed(self, data: bytes) -> None:
        parts: list[bytes | memoryview] = [data]  # the next one is the last
        while parts:
            part = parts.pop()
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserError:
                self.send_400_response("This is no HTTP request.")
                return
            except httptools.HttpParserUpgrade as offer:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    return
                parts += [memoryview(part)[offer.args[0] :], self._without_offer()]

    def _without_offer(self) -> bytes:
        """The head that was read, without the other protocol that it offers; a parser that begins.

        RFC 9110, section 7.8: an offer may be ignored. Java's own client makes one with every request,
        and this parser takes what follows it, the body, for the other protocol.
        """
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"\r\n".join([*lines, b"", b""])

    def _let_go(self) -> bool:
        """Whether this is no longer ours to read from."""
        return self.transport.is_closing() or self.transport.get_protocol() is not self

    def _rests(self) -> bool:
        """Whether nothing that has been asked waits for its answer or the end of it."""
        return self.cycle is None or self.cycle.response_complete

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
        answering = not self._rests() and (part == _HEAD or self.cycle.response_started)
        if self.flow.read_paused or self.pipeline or answering:
            # It is we who do not read, or who still speak.
            self._timer = self.loop.call_later(self.receive_seconds, self._expired)
            return
        if self.transport.is_closing():
            return
        log.info("cut off %s: no complete %s within %g s", self.client, part, self.receive_seconds)
        if self._heard:  # a connection that was only opened ahead of need is closed without a word
            said = f"The request's {part} did not arrive within {self.receive_seconds:g} s."
            self._refuse(408, "request_timeout", said)
        self._hang_up()

    def _refuse_size(self) -> None:
        said = f"The request's head has more than {HEAD_BYTES:,} bytes, the most that is read."
        self._refuse(431, "too_large", said)
        self._hang_up()

    def _hang_up(self) -> None:
        if self.cycle is not None:
            self.cycle.disconnected = True  # whoever still waits for the body finds the client gone
        self.transport.close()

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Say why, unless that would stand in the middle of an answer, or behind it."""
        answering = self.cycle.response_started if self._arriving == _BODY else not self._rests()
        if answering or self.pipeline:
            return
        fault = {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": code,
        }
        content = json.dumps({"error": fault}).encode()
        head = (
            b"content-type: application/json\r\n"
            b"content-length: %d\r\n"
            b"connection: close\r\n\r\n" % len(content)
        )
        self.transport.write(STATUS_LINE[status] + head + content)
