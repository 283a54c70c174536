"""Settings, people: who signs in, and as what. Knows no SQL; does what the API does."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import get_args

from nicegui import ui
from sqlmodel import Session

from serving import accounts, staffing
from serving.auth import ACCOUNT_ROLES, AccountRole, Caller
from serving.console import theme
from serving.console.desk import Desk
from serving.console.registry import Page
from serving.console.settings_parts import choice, field, parts_of_settings, shown_once
from serving.models import Account

ONCE = (
    "It is shown this once. Hand it over by a way that you trust; it can be changed by its owner."
)
MOST_ROWS = 50


async def build(desk: Desk) -> None:
    """Draw the page."""
    await People(desk).draw()


class People:
    """The accounts on the screen."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._memory_mib = desk.parts.settings.serving.password_memory_mib

    async def draw(self) -> None:
        """Draw everything."""
        theme.heading("People", "Who signs in, and what they may do.")
        parts_of_settings(self._desk, "/settings/people")
        self._once = ui.element("div")
        self._listed = theme.card()
        self._form()
        await self._list()

    def _form(self) -> None:
        with theme.card("Add somebody", "A password is made for them, and shown to you this once."):
            first = not self._desk.who.key_id
            with ui.element("div").classes("heed-form"):
                name = field("Name", hint="what they sign in with")
                role = choice("Role", ACCOUNT_ROLES, "admin" if first else "viewer")
                with theme.row():

                    async def add() -> None:
                        await self._add(name.value or "", role.value)
                        name.set_value("")

                    acted = self._desk.act("admin", add)
                    name.on("keydown.enter", acted)
                    theme.button("Add", acted, kind="main")

    async def _list(self) -> None:
        rows = await self._desk.read(accounts.accounts)
        self._listed.clear()
        with self._listed:
            if not rows:
                theme.prose(
                    "There is no account yet, and the console is open to this machine. The first "
                    "one has to be an admin's; from then on everybody signs in."
                )
                return
            theme.table(
                ("Name", "Role", "Since", ""),
                [self._row(each) for each in rows[:MOST_ROWS]],
                label="People",
            )
            if len(rows) > MOST_ROWS:
                theme.prose(f"{len(rows) - MOST_ROWS} more: `heed people list` shows all of them.")

    def _row(self, row: Account) -> list[object]:
        own = row.id == self._desk.who.key_id

        def name() -> None:
            with theme.row():
                theme.text(row.name, "strong")
                if own:
                    theme.badge("you", "soft")
                if accounts.is_elsewhere(row):
                    theme.badge("by the sign-in provider", "soft")

        return [
            name,
            lambda: theme.badge(row.role, "busy" if row.role == "admin" else ""),
            lambda: theme.when(row.created_at),
            partial(self._menu, row),
        ]

    def _menu(self, row: Account) -> None:
        with (
            theme.icon_button("more_horiz", f"Change {row.name}"),
            ui.menu().classes("heed-menu"),
        ):
            if not accounts.is_elsewhere(row):  # else the provider decides on both
                for role in get_args(AccountRole):
                    if role != row.role:
                        self._item(f"Make {role}", partial(self._role, row.name, role))
                self._item("New password", partial(self._password, row.name))
            self._item("Remove", partial(self._remove, row.name))

    def _item(self, label: str, act: Callable[[], Awaitable[object]]) -> None:
        item = ui.menu_item(label, self._desk.act("admin", act)).classes("heed-item")
        item._props["role"] = "menuitem"

    async def _add(self, name: str, role: AccountRole) -> None:
        password = accounts.new_password()

        def add(session: Session, who: Caller) -> str:
            return staffing.add(
                session,
                actor=who.actor,
                name=name,
                role=role,
                password=password,
                memory_mib=self._memory_mib,
            ).name

        made = await self._desk.write("admin", add)
        self._show(f"Password of {made}", password)
        await self._list()

    async def _role(self, name: str, role: AccountRole) -> None:
        def change(session: Session, who: Caller) -> None:
            staffing.change_role(session, actor=who.actor, name=name, role=role)

        await self._desk.write("admin", change)
        self._desk.parts.sessions.forget()
        self._desk.say(f"{name} is {role} now.")
        await self._list()

    async def _password(self, name: str) -> None:
        sure = await theme.confirm(
            f"A new password for {name}?",
            "The old one ends, and so does every session of this account.",
            "Make a new password",
        )
        if not sure:
            return
        password = accounts.new_password()

        def change(session: Session, who: Caller) -> None:
            staffing.change_password(
                session,
                actor=who.actor,
                name=name,
                password=password,
                memory_mib=self._memory_mib,
            )

        await self._desk.write("admin", change)
        self._desk.parts.sessions.forget()
        self._show(f"Password of {name}", password)

    async def _remove(self, name: str) -> None:
        sure = await theme.confirm(
            f"Remove {name}?",
            "They are signed out everywhere at once. What they decided stays, with their name in "
            "the audit log; the name can be given to somebody else.",
            "Remove",
            danger=True,
        )
        if not sure:
            return

        def remove(session: Session, who: Caller) -> None:
            staffing.remove(session, actor=who.actor, name=name)

        await self._desk.write("admin", remove)
        self._desk.parts.sessions.forget()
        self._desk.say(f"{name} is removed.")
        await self._list()

    def _show(self, title: str, password: str) -> None:
        self._once.clear()
        with self._once:
            shown_once(title, password, ONCE)


PAGE = Page(
    path="/settings/people",
    title="People",
    icon="group",
    needs="admin",
    build=build,
    listed=False,
)
