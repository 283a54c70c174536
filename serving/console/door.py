"""The console's door: who may pass, and the policy of what comes out. Knows no page and no NiceGUI.

Everything of the console goes through here, its scripts and its sockets too. A page that slips
through the escaping could neither load from nor send to elsewhere, and no script in it would run:
only scripts with the answer's own random mark do. `unsafe-eval` has to be, since NiceGUI makes
functions of what its server sends.
"""

import secrets
from collections.abc import Callable
from types import SimpleNamespace
from urllib.parse import quote

from fastapi.responses import JSONResponse, RedirectResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.errors import HeedError, Unauthorized
from serving import wire
from serving.auth import Caller
from serving.context import Heed, identify
from serving.same_origin import is_own_page, require_own_page

PARTS = "heed.parts"
WHO = "heed.who"
"""Where a request's scope says to whose server it came, and who asks."""
SIGN_IN = "/console/sign-in"
_OWN = ("/console/_nicegui", "/console/static/", "/console/favicon")
_REFUSED = 1008
_ROUTE = SimpleNamespace(path="/console")
"""What the log and the metrics call all of it."""


class Door:
    """Lets in whoever is signed in.

    Args:
        app: what is behind it.
        parts: the running server.
    """

    def __init__(self, app: ASGIApp, parts: Callable[[], Heed]) -> None:
        self._app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a socket on, or refuse it."""
        scope["route"] = _ROUTE
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            who = await self._who(connection)
        except HeedError as fault:
            await _refuse(scope, fault)(scope, receive, send)
            return
        passed = {**scope, PARTS: self._parts(), WHO: who}
        if scope["path"].startswith(_OWN):
            await self._app(passed, receive, send)
        else:
            await _Marked(self._app, send).answer(passed, receive)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        try:
            if not is_own_page(connection.headers):
                raise Unauthorized("Only the console's own pages may open a socket.")
            who = await self._who(connection)
        except HeedError as fault:
            await receive()
            await send({"type": "websocket.close", "code": _REFUSED, "reason": fault.message[:100]})
            return
        await self._app({**scope, PARTS: self._parts(), WHO: who}, receive, send)

    async def _who(self, connection: HTTPConnection) -> Caller:
        who = await identify(connection, self._parts())
        require_own_page(connection.headers, connection.scope.get("method", "GET"))
        return who


class _Marked:
    """One page on its way out: its own scripts are marked, and its headers say what may run."""

    def __init__(self, app: ASGIApp, send: Send) -> None:
        self._app = app
        self._send = send
        self._mark = secrets.token_urlsafe(16)
        self._start: Message | None = None
        self._body = b""

    async def answer(self, scope: Scope, receive: Receive) -> None:
        """Pass the request on."""
        # Whole and not packed: it is looked through below.
        plain = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
        await self._app({**scope, "headers": plain}, receive, self._pass_on)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False) or self._start is None:
            return
        # What people wrote is in the page as data, where every `<` is escaped: these are its own.
        body = self._body.replace(b"<script", f'<script nonce="{self._mark}"'.encode())
        headers = MutableHeaders(raw=list(self._start["headers"]))
        headers["content-length"] = str(len(body))
        headers.update(policy(self._mark))
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def policy(mark: str) -> dict[str, str]:
    """Return the headers of a page whose scripts carry this mark."""
    return {
        "Content-Security-Policy": f"default-src 'none'; script-src 'self' 'nonce-{mark}' "
        "'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _refuse(scope: Scope, fault: HeedError) -> ASGIApp:
    headers = Headers(scope=scope)
    is_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if isinstance(fault, Unauthorized) and is_page and "authorization" not in headers:
        to = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        return RedirectResponse(f"{SIGN_IN}?to={quote(to)}", 303)
    return JSONResponse(wire.error(fault), wire.STATUS[fault.code])
