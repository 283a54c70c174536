"""The log: one line per request, ids in every line, and never what people said. Knows no route.

Lines carry routes and not paths, no query, no address, no header but the request's id. An
exception is shown as where it happened; its words only where Heed wrote them, since others quote
the values that they choked on.
"""

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TextIO

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.errors import HeedError
from feedback.ids import new_id

Format = Literal["auto", "json", "text"]
HEADER = "X-Request-Id"
QUIET = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines: their lines are for debugging."""
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{1,64}){3}")
_OURS = ("heed", "serving", "trainer", "feedback")

_encoded = json.JSONEncoder(default=str).encode

log = logging.getLogger("heed.http")


@dataclass(frozen=True)
class Asking:
    """The request that is being answered.

    Attributes:
        request_id: the client's, where it sent a sane one, else ours.
        traceparent: the client's span, as W3C's trace context writes it.
    """

    request_id: str
    traceparent: str | None = None


asking: ContextVar[Asking | None] = ContextVar("asking", default=None)


class RequestLog:
    """Gives each request its id, sends it back, and writes one line when the answer has ended.

    Args:
        app: what answers.
        answered: told the method, the route and the status of each answered request.
    """

    def __init__(self, app: ASGIApp, *, answered: Callable[[str, str, int], None]) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        found = asked(Headers(scope=scope))
        # Left in place afterwards: each request is a task of its own, and what answers for a bug
        # in it does so later than here.
        asking.set(found)
        status: int | None = None
        adapter: str | None = None

        async def stamped(message: Message) -> None:
            nonlocal status, adapter
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[HEADER] = found.request_id
                status, adapter = message["status"], headers.get("x-heed-adapter")
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except Exception:
            status = status or 500
            raise
        finally:
            route = getattr(scope.get("route"), "path", "none")
            if status is not None:
                self._answered(scope["method"], route, status)
            level = logging.WARNING if (status or 0) >= 500 else logging.INFO
            fields = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "seconds": round(time.perf_counter() - began, 6),
                **({"adapter": adapter} if adapter else {}),
            }
            _write(logging.DEBUG if route in QUIET else level, fields)


def _write(level: int, fields: dict[str, Any]) -> None:
    if not log.isEnabledFor(level):
        return
    words = (fields["method"], fields["route"], fields["status"] or "left")
    # Made here, since looking for the line of code that speaks costs as much as all the rest.
    record = log.makeRecord(
        log.name, level, __file__, 0, "%s %s %s", words, None, extra={"fields": fields}
    )
    log.handle(record)


def asked(headers: Headers) -> Asking:
    """Return who a request says it is, or a new id where it says nothing that can be kept."""
    given, span = headers.get(HEADER, ""), headers.get("traceparent", "")
    return Asking(
        given if _SANE.fullmatch(given) else new_id("req"),
        span if _TRACEPARENT.fullmatch(span) else None,
    )


def stamp() -> dict[str, str]:
    """Return the header with the id of the request that is being answered."""
    found = asking.get()
    return {HEADER: found.request_id} if found else {}


def configure(level: str, form: Format, stream: TextIO | None = None) -> None:
    """Send this process's log to a stream, stderr by default.

    Other libraries speak from WARNING on, whatever the level: at DEBUG some of them write the
    bodies and headers of what they send.

    Args:
        level: of Heed's own lines, as `logging` names it.
        form: ``auto`` is text for a terminal and JSON for anything else.
        stream: where to.
    """
    target = stream or sys.stderr
    text = form == "text" or (form == "auto" and target.isatty())
    # No line says which thread or process wrote it, so none need find out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(target)
    handler.setFormatter(TextLines() if text else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.INFO)
    # It writes whole paths, which may name people; the line per request is ours.
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_no_socket)


def _is_no_socket(record: logging.LogRecord) -> bool:
    """Uvicorn writes the whole address of every socket that opens, where its id is a secret."""
    return not (str(record.msg).startswith(('%s - "WebSocket', "connection ")))


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, request_id, and what the line adds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        found = asking.get()
        line: dict[str, Any] = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if found is not None:
            line["request_id"] = found.request_id
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = where(record.exc_info[1])
        return _encoded(line)


class TextLines(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it where an exception happened."""
        found = asking.get()
        fields = getattr(record, "fields", {})
        more = f" ({fields['seconds'] * 1000:.0f} ms)" if "seconds" in fields else ""
        more += f" [{found.request_id}]" if found else ""
        line = f"{_moment(record)} {record.levelname} {record.name}: {record.getMessage()}{more}"
        if record.exc_info and record.exc_info[1] is not None:
            line = "\n  ".join([line, *where(record.exc_info[1])])
        return line


def where(fault: BaseException) -> list[str]:
    """Return where an exception happened, innermost cause first, without quoting any value."""
    before = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    lines = where(before) if before is not None and before is not fault else []
    lines += [
        f"{frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(fault.__traceback__)
    ]
    words = f": {fault.message}" if isinstance(fault, HeedError) else ""
    return [*lines, f"{type(fault).__module__}.{type(fault).__qualname__}{words}"]


def _moment(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=2)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
