"""A route for what is asked by the thousand: its endpoint gets the request as it came.

What the framework does for a declared route (solving dependencies, two stacks of things to close,
writing the answer from a model) costs more than the whole rest of a small request. Such a route reads
and answers for itself, and is found before the framework compares an address with its routes. It is
described as any other route is.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from feedback.errors import HeedError

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct(APIRoute):
    """Calls ``endpoint(request)``, which returns the response; nothing is read or checked for it.

    Only for an application's own list of routes: inside an included router it would be an ordinary
    route again.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to this address."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # says which methods there are
            return
        response = await cast(Endpoint, self.endpoint)(Request(scope, receive))
        await response(scope, receive, send)


class Shortcut:
    """Calls a `Direct` route whose address and method are asked for; all else passes by.

    Between here and the route stands only what the framework needs to look for it and to close what
    others opened.

    Args:
        app: what answers all else.
        routes: the application's own.
        fault: says what went wrong, as for every other route.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Sequence[BaseRoute],
        fault: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._app = app
        self._fault = fault
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, Direct)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass it on."""
        asked = (scope.get("method", ""), scope.get("path", ""))
        route = None if scope.get("root_path") else self._routes.get(asked)
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await cast(Endpoint, route.endpoint)(request)
        except HeedError as fault:
            response = await self._fault(request, fault)
        await response(scope, receive, send)
