"""Refuses a request body that is too large, by its bytes and not by what its header claims."""

import json
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback.errors import TooLarge
from serving import wire


class BodyLimit:
    """Answers 413 once more than the limit has arrived; the rest is never read into memory."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, wider: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._wider = wider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body counted."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        limit = self._wider.get(scope["path"], self._max_bytes)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > limit:
                await _refuse(send, limit)
                return
            if not message.get("more_body", False):
                break
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)


async def _refuse(send: Send, limit: int) -> None:
    fault = TooLarge(f"The request has more than {limit:,} bytes, the most that is read.")
    content = json.dumps(wire.error(fault)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": content})
