"""What every route works with, and who is calling. Holds things; decides nothing."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from feedback.errors import Invalid, Unauthorized
from feedback.intake import Intake
from feedback.people import PeopleKey
from feedback.store import Store
from serving.auth import Caller, KeyRing, require
from serving.engines.base import Engine
from serving.metrics import Metrics
from serving.oidc import Provider
from serving.retries import Recent
from serving.routing import Router
from serving.same_origin import refuse_foreign_pages, require_own_page
from serving.scheduler import Scheduler
from serving.sessions import Sessions
from serving.settings import Settings
from serving.swap import Swap
from serving.tokens import MARK, Grant, Tally, Tokens

COOKIE = "heed_session"

log = logging.getLogger("heed")


@dataclass
class Heed:
    """The parts of one running server."""

    settings: Settings
    store: Store
    intake: Intake
    people: PeopleKey
    keys: KeyRing
    sessions: Sessions
    tokens: Tokens
    engine: Engine
    router: Router
    swap: Swap
    scheduler: Scheduler
    metrics: Metrics
    oidc: Provider | None = None
    in_flight: int = 0
    tally: Tally = field(default_factory=Tally)
    recent: Recent[Any] = field(default_factory=Recent)
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def detach(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something to its end, also when the request that asked for it is gone."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._detached)

    def _detached(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("what was left to do for a request failed", exc_info=fault)

    def person_id(self, user: str | None, caller: Caller) -> str:
        """Return the keyed hash of whoever speaks; a caller without `user` speaks as its key."""
        name = f"user:{user}" if user else f"key:{caller.key_id or 'local'}"
        return self.people.person_id(name)


async def heed(request: Request) -> Heed:
    """The running server's parts."""
    parts: Heed = request.app.state.heed
    return parts


async def caller(request: Request) -> Caller:
    """Who calls, by the bearer key or by the console's cookie.

    Raises:
        Unauthorized, Forbidden: as `identify` does.
        Invalid: an id or a filter contains a NUL, which PostgreSQL refuses.
    """
    found = await identify(request, await heed(request))
    _refuse_nul(request)
    return found


async def identify(connection: HTTPConnection, parts: Heed) -> Caller:
    """Who is at the other end of a request or a socket; the one place where that is decided.

    Raises:
        Unauthorized: no valid key and no session, or what may be a foreign web page while there is
            neither a key nor an account.
        Forbidden: a foreign page asks to change something by somebody's cookie.
    """
    headers = connection.headers
    authorization = headers.get("authorization")
    if authorization is None and "cookie" in headers and (told := connection.cookies.get(COOKIE)):
        signed_in = await parts.sessions.caller(told)
        if signed_in is not None:
            require_own_page(headers, connection.scope.get("method", "GET"))
            return signed_in
    host = connection.client.host if connection.client else None
    found = await parts.keys.caller(authorization, host)
    if found.key_id is None:
        refuse_foreign_pages(headers)
    return found


async def client(request: Request) -> Caller:
    """A caller that may chat and send feedback."""
    who = await caller(request)  # called, since a dependency of a dependency is solved at a price
    require(who, "client")
    return who


async def reviewer(request: Request) -> Caller:
    """A caller that may judge feedback and look at rounds."""
    who = await caller(request)
    require(who, "reviewer")
    return who


async def operator(request: Request) -> Caller:
    """A caller that may start rounds and deploy adapters."""
    who = await caller(request)
    require(who, "operator")
    return who


async def admin(request: Request) -> Caller:
    """A caller that may do everything: erase people, and decide who else may what."""
    who = await caller(request)
    require(who, "admin")
    return who


async def voter(request: Request) -> Caller | Grant:
    """Whoever may send feedback: a caller with a key, or a page with a feedback token.

    Raises:
        Unauthorized, Invalid: as `caller` and `granted` do.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip().startswith(MARK):
        grant = await granted(await heed(request), token.strip())
        _refuse_nul(request)
        return grant
    return await client(request)


async def granted(parts: Heed, token: str) -> Grant:
    """Return what a feedback token allows.

    Raises:
        Unauthorized: it is forged or expired, or the key that asked for it is no longer valid.
        Busy: it was used too often.
    """
    grant = parts.tokens.read(token)
    if not await parts.keys.holds(grant.key_id):
        raise Unauthorized(
            "The API key that asked for this feedback token is no longer valid; have the page's "
            "own server ask for a new one."
        )
    parts.tally.count(grant)
    return grant


Parts = Annotated[Heed, Depends(heed)]
AsClient = Annotated[Caller, Depends(client)]
AsVoter = Annotated[Caller | Grant, Depends(voter)]
AsReviewer = Annotated[Caller, Depends(reviewer)]
AsOperator = Annotated[Caller, Depends(operator)]
AsAdmin = Annotated[Caller, Depends(admin)]


def _refuse_nul(request: Request) -> None:
    if not request.path_params and not request.scope.get("query_string"):
        return  # nothing to take apart, as on the busiest routes
    for name, value in (*request.path_params.items(), *request.query_params.items()):
        if "\x00" in value:
            raise Invalid(f"`{name}` contains a NUL character; remove it.", param=name)
