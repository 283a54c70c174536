"""A route for what is asked by the thousand: its endpoint gets the request as it came.

What the framework does for a declared route (solving dependencies, two stacks of things to close,
writing the answer from a model) costs more than the whole rest of a small request. Such a route reads
and answers for itself, and stands before all others. It is described as any other route is.
"""

from collections.abc import Awaitable, Callable
from typing import cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send


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
        endpoint = cast(Callable[[Request], Awaitable[Response]], self.endpoint)
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)
