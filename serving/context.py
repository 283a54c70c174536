"""What every route works with, and who is calling. Holds things; decides nothing."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from feedback.errors import Unauthorized
from feedback.intake import Intake
from feedback.people import PeopleKey
from feedback.store import Store
from serving.auth import Caller, KeyRing, is_loopback, require
from serving.engines.base import Engine
from serving.routing import Router
from serving.scheduler import Scheduler
from serving.settings import Settings
from serving.swap import Swap


@dataclass
class Heed:
    """The parts of one running server."""

    settings: Settings
    store: Store
    intake: Intake
    people: PeopleKey
    keys: KeyRing
    engine: Engine
    router: Router
    swap: Swap
    scheduler: Scheduler
    in_flight: int = 0
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def detach(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something to its end, also when the request that asked for it is gone."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def person_id(self, user: str | None, caller: Caller) -> str:
        """Return the keyed hash of whoever speaks; a caller without `user` speaks as its key."""
        name = f"user:{user}" if user else f"key:{caller.key_id or 'local'}"
        return self.people.person_id(name)


def heed(request: Request) -> Heed:
    """The running server's parts."""
    parts: Heed = request.app.state.heed
    return parts


def caller(request: Request) -> Caller:
    """Who calls, by the bearer key."""
    host = request.client.host if request.client else None
    found = heed(request).keys.caller(request.headers.get("authorization"), host)
    # Without keys the address is all there is; a web page that names this machine by another
    # host name (DNS rebinding) must not get through on it.
    if found.key_id is None and not is_loopback(_host_name(request.headers.get("host", ""))):
        raise Unauthorized("Until the first API key exists, call Heed as localhost or 127.0.0.1.")
    return found


def client(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """A caller that may chat and send feedback."""
    require(who, "client")
    return who


def reviewer(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """A caller that may judge feedback and look at rounds."""
    require(who, "reviewer")
    return who


def admin(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """A caller that may start rounds and deploy adapters."""
    require(who, "admin")
    return who


Parts = Annotated[Heed, Depends(heed)]
AsClient = Annotated[Caller, Depends(client)]
AsReviewer = Annotated[Caller, Depends(reviewer)]
AsAdmin = Annotated[Caller, Depends(admin)]


def _host_name(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
