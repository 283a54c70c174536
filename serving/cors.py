"""Which web pages may send feedback from the browser: CORS for those few routes and no others.

What needs a key stays out: a key has no place in a page. Cookies are never asked for, since a
token is all that a page has.
"""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

KEPT_SECONDS = 7200
"""So long a browser may rely on the answer to its question; Chromium keeps none longer."""
_PATHS = ("/v1/feedback", "/v1/feedback/signals", "/widget.js")
_RECEIPTS = "/v1/feedback/fbk_"


class FeedbackCors:
    """Answers the browser's question where a page of another origin speaks to the widget's routes.

    Args:
        origins: of the pages that may.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "X-Request-Id"],
            max_age=KEPT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = scope.get("path", "")
        opened = path in _PATHS or path.startswith(_RECEIPTS)
        await (self._open if opened else self._app)(scope, receive, send)
