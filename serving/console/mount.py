"""NiceGUI in one process: started once, mounted behind the door, its sockets held to their pages.

Importing this imports NiceGUI. NiceGUI is one application to a process; the servers of tests, one
after the other, share it.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from nicegui import Client, core, ui
from nicegui import app as nice
from starlette.requests import HTTPConnection

from feedback.errors import HeedError
from serving.console import frame
from serving.console.door import PARTS, WHO, Door
from serving.console.registry import Page, pages
from serving.console.theme import FAVICON
from serving.context import Heed, identify

STATIC = Path(__file__).parent / "static"
RECONNECT_SECONDS = 30.0
"""A tab that was cut off for so long, as by a closed lid, goes on where it was."""

GZIP_LEVEL = 1
PATIENCE_SECONDS = 30.0
"""The frame answers at once; on a machine that is busy with a round that, too, can take a while."""


def mount(
    app: FastAPI, parts: Callable[[], Heed]
) -> Callable[[], AbstractAsyncContextManager[Any]]:
    """Put the console under ``/console`` of an application.

    Returns:
        What has to be entered while the application runs.
    """
    app.mount("/console", Door(_shell(), parts), name="console")
    # Its own beginning and end; what `run_with` puts around them looks at every object there is.
    return lambda: nice.router.lifespan_context(nice)


@lru_cache
def _shell() -> FastAPI:
    shell = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    for page in pages():
        ui.page(
            page.path,
            title=f"{page.title} · Heed",
            language="en-US",
            response_timeout=PATIENCE_SECONDS,
        )(_opening(page))
    nice.add_static_files("/static", STATIC)
    ui.run_with(
        shell,
        root=frame.not_found,
        mount_path="/",
        title="Heed",
        favicon=FAVICON,
        dark=None,
        language="en-US",
        tailwind=False,
        # Level 9 takes the event loop three times as long for a sixth fewer bytes.
        gzip_middleware_factory=partial(GZipMiddleware, compresslevel=GZIP_LEVEL),
        reconnect_timeout=RECONNECT_SECONDS,
        show_welcome_message=False,
    )
    nice.colors(primary="#2f5fd0", positive="#1a7f4b", negative="#b3261e", warning="#9a6700")
    _hold_sockets()
    return shell


def _opening(page: Page) -> Callable[..., Any]:
    async def show(request: Request, client: Client) -> None:
        await frame.show(page, client, request)

    return show


def _hold_sockets() -> None:
    """Take what a socket sends for what its own page's reader does, and for nothing else.

    NiceGUI believes the page's id in the message. Here the socket must be that page's, opened by
    whoever opened the page, and the session must still be good. In turn, so that what was typed is
    known before the button that was pressed after it.
    """
    turns: dict[str, asyncio.Lock] = {}

    async def checked(
        handle: Callable[[Client, dict[str, Any]], None], sid: str, message: dict[str, Any]
    ) -> None:
        client = Client.instances.get(str(message.get("client_id")))
        if client is None or client.id not in core.sio.rooms(sid):
            return
        async with turns.setdefault(sid, asyncio.Lock()):
            if await _is_own(sid, client):
                handle(client, message)
            else:
                with client:
                    ui.navigate.reload()

    def event(client: Client, message: dict[str, Any]) -> None:
        if client.has_socket_connection:
            client.handle_event(message)

    def response(client: Client, message: dict[str, Any]) -> None:
        client.handle_javascript_response(message)

    def left(sid: str, *_: Any) -> None:
        turns.pop(sid, None)
        leave(sid)

    leave = core.sio.handlers["/"]["disconnect"]
    core.sio.on("event", partial(checked, event))
    core.sio.on("javascript_response", partial(checked, response))
    core.sio.on("disconnect", left)


async def _is_own(sid: str, client: Client) -> bool:
    scope: dict[str, Any] = core.sio.get_environ(sid)["asgi.scope"]
    page = client.request.scope
    try:
        now = await identify(HTTPConnection(scope), page[PARTS])
    except HeedError:
        return False
    return bool(now.key_id == page[WHO].key_id)
