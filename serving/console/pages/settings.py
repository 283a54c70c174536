"""Settings: one's own account, and the way to what an admin decides. Knows no SQL."""

import asyncio

from nicegui import ui
from sqlmodel import Session

from serving import accounts, staffing
from serving.auth import Caller
from serving.console import theme
from serving.console.desk import Desk, go
from serving.console.door import SIGN_IN
from serving.console.registry import Page
from serving.console.settings_parts import field, parts_of_settings
from serving.routes.people import own_password

MEANING = {
    "viewer": "chat, say what you think of an answer, read your own receipts",
    "reviewer": "also read the queue, rounds, adapters and reports, and decide on feedback",
    "operator": "also start and cancel rounds, promote, roll back, compare versions",
    "admin": "everything: also erase people, read metrics, decide who else may what",
}


async def build(desk: Desk) -> None:
    """Draw the page."""
    theme.heading("Settings", "Your account, and what an admin decides for everybody.")
    parts_of_settings(desk, "/settings")
    who = desk.who
    if not who.name:
        theme.empty(
            "lock_open",
            "Nobody signs in here yet",
            "The console is open to this machine, and whoever uses it may do everything. The first "
            "account, an admin's, closes it: make it under People, or with `heed people create NAME "
            "--role admin`."
            if not who.key_id
            else "This is a key's session; keys have no account.",
        )
        return
    with theme.card("Your account"):
        theme.facts(
            [("Name", who.name), ("Role", who.role), ("You may", MEANING.get(who.role, ""))]
        )
    if accounts.is_elsewhere(await desk.read(accounts.named, who.name)):
        with theme.card("Password"):
            theme.prose("The sign-in provider has it, and says what you may do here.")
    else:
        _password(desk)
    _everywhere(desk)


def _password(desk: Desk) -> None:
    with (
        theme.card("Password", "A new one signs you out everywhere, here too."),
        ui.element("div").classes("heed-form"),
    ):
        now = field("Current password", password="current-password")
        new = field("New password", password="new-password")
        again = field("New password once more", password="new-password")

        async def change() -> None:
            if new.value != again.value:
                desk.fail("The new passwords differ; type them again.")
                return
            client = desk.request.client
            await asyncio.to_thread(
                own_password,
                desk.parts,
                desk.who,
                current=now.value or "",
                password=new.value or "",
                address=client.host if client else "unknown",
            )
            go(SIGN_IN)

        acted = desk.act("client", change)
        again.on("keydown.enter", acted)
        with theme.row():
            theme.button("Change the password", acted, kind="main")


def _everywhere(desk: Desk) -> None:
    async def leave() -> None:
        def end(session: Session, who: Caller) -> None:
            staffing.sign_out_everywhere(session, actor=who.actor, name=who.name)

        await desk.write("client", end)
        desk.parts.sessions.forget()
        go(SIGN_IN)

    with (
        theme.card(
            "Sign out everywhere", "Ends this session and every other one of your account, at once."
        ),
        theme.row(),
    ):
        theme.button("Sign out everywhere", desk.act("client", leave))


PAGE = Page(
    path="/settings", title="Settings", icon="settings", needs="viewer", build=build, order=70
)
