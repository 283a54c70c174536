"""One visit to a page: who is there, what they may do, and how a page reads and changes things.

Every page works through its `Desk`, so roles are enforced in one place: an event that comes over
the socket, forged or not, finds the session and its role looked up anew. Knows no page.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from fastapi import Request
from nicegui import Client, ui
from sqlmodel import Session

from feedback.errors import HeedError, Unauthorized
from serving.auth import Caller, Role, require
from serving.console.door import PARTS, SIGN_IN, WHO
from serving.context import Heed, identify

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("heed.console")


def go(address: str) -> None:
    """Open an address of this server's console, such as ``/console/rounds``.

    NiceGUI puts the place where it is mounted before every path that it opens.
    """
    ui.navigate.to(address.removeprefix("/console") or "/")


class Desk:
    """What a page is given.

    Attributes:
        parts: the running server.
        who: who opened the page; what they may do *now* is what `allow` says.
        client: NiceGUI's, of this one tab.
        request: the one that opened the page: its path and query.
    """

    def __init__(self, client: Client, request: Request) -> None:
        self.client = client
        self.request = request
        self.parts: Heed = request.scope[PARTS]
        self.who: Caller = request.scope[WHO]

    def may(self, role: Role) -> bool:
        """Whether to show what needs this role. It is no check: `act` and `write` check."""
        return self.who.allows(role)

    async def allow(self, role: Role) -> Caller:
        """Return who acts, as of now.

        Raises:
            Unauthorized: the session is over; the browser is led to the form.
            Forbidden: the role does not reach.
        """
        try:
            who = await identify(self.request, self.parts)
        except Unauthorized:
            with self.client:
                go(SIGN_IN)
            raise
        require(who, role)
        self.who = who
        return who

    async def read(
        self, function: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a function on a database session that only reads, off the event loop.

        Raises:
            HeedError: what the function raises.
        """

        def work() -> T:
            with self.parts.store.session() as session:
                return function(session, *args, **kwargs)

        return await asyncio.to_thread(work)

    async def write(
        self,
        needs: Role,
        function: Callable[Concatenate[Session, Caller, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Check the role, run a function that changes something, and commit, off the event loop.

        Args:
            needs: the role without which nothing happens.
            function: called with a session and who acts; writes its own entry in the audit log.
            args, kwargs: for the function.

        Raises:
            HeedError: the role does not reach, or what the function raises; nothing is changed.
        """
        who = await self.allow(needs)

        def work() -> T:
            with self.parts.store.session(write=True) as session:
                done = function(session, who, *args, **kwargs)
                session.commit()
                return done

        return await asyncio.to_thread(work)

    def act(
        self, needs: Role, handler: Callable[P, Awaitable[object]]
    ) -> Callable[P, Awaitable[None]]:
        """Return a handler for an element's event that checks the role first, and says faults.

        Every handler that does more than change what is shown is made by this.
        """

        async def checked(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                await self.allow(needs)
                await handler(*args, **kwargs)
            except HeedError as fault:
                self.fail(fault.message)

        return checked

    def say(self, text: str) -> None:
        """Tell, for a moment, that something is done."""
        with self.client:
            ui.notify(text, position="top", classes="heed-toast")

    def fail(self, text: str) -> None:
        """Tell that something did not work, and why, until it is read."""
        with self.client:
            ui.notify(
                text,
                position="top",
                classes="heed-toast failed",
                timeout=10_000,
                close_button="Close",
            )
