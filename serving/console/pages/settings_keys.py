"""Settings, API keys: what programs call Heed with. Knows no SQL; does what the API does."""

from functools import partial

from nicegui import ui
from sqlmodel import Session

from serving import auth, staffing
from serving.auth import KEY_ROLES, Caller, KeyRole
from serving.console import theme
from serving.console.desk import Desk
from serving.console.registry import Page
from serving.console.settings_parts import choice, field, parts_of_settings, shown_once
from serving.models import ApiKey

MOST_ROWS = 50


async def build(desk: Desk) -> None:
    """Draw the page."""
    await Keys(desk).draw()


class Keys:
    """The keys on the screen."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def draw(self) -> None:
        """Draw everything."""
        theme.heading("API keys", "What programs call Heed with, instead of signing in.")
        parts_of_settings(self._desk, "/settings/keys")
        self._once = ui.element("div")
        self._listed = theme.card()
        with (
            theme.card("Make a key", "A client may chat and send feedback; the others see more."),
            ui.element("div").classes("heed-form"),
        ):
            name = field("Whose it is", hint="the shop's server")
            role = choice("Role", KEY_ROLES, "client")
            with theme.row():

                async def make() -> None:
                    if await self._make(name.value or "", role.value):
                        name.set_value("")

                acted = self._desk.act("admin", make)
                name.on("keydown.enter", acted)
                theme.button("Make a key", acted, kind="main")
        await self._list()

    async def _list(self) -> None:
        rows = await self._desk.read(auth.keys)
        rows.sort(key=lambda row: (row.revoked_at is not None, -row.created_at))
        self._listed.clear()
        with self._listed:
            if not rows:
                theme.prose("There is no key yet; the first one closes the API to all others.")
                return
            theme.table(
                ("Key", "Whose", "Role", "Made", ""),
                [self._row(each) for each in rows[:MOST_ROWS]],
                label="API keys",
            )
            if len(rows) > MOST_ROWS:
                theme.prose(f"{len(rows) - MOST_ROWS} more: `heed keys list` shows all of them.")

    def _row(self, row: ApiKey) -> list[object]:
        def end() -> None:
            if row.revoked_at is None:
                act = self._desk.act("admin", partial(self._revoke, row.id, row.name))
                theme.button("Revoke", act)._props["aria-label"] = f"Revoke {row.name or row.id}"
            else:
                with theme.row("soft small"):
                    theme.text("revoked")
                    theme.when(row.revoked_at)

        return [
            lambda: theme.text(row.id, "mono small"),
            row.name,
            lambda: theme.badge(row.role, "busy" if row.role == "admin" else ""),
            lambda: theme.when(row.created_at),
            end,
        ]

    async def _make(self, name: str, role: KeyRole) -> bool:
        if not self._desk.who.key_id and not await theme.confirm(
            "Make the first key?",
            "From then on everybody needs a key or an account, you too: make an admin's account "
            "first, under People, or this console is closed to you.",
            "Make the key",
        ):
            return False

        def make(session: Session, who: Caller) -> tuple[str, str]:
            row, token = staffing.make_key(session, actor=who.actor, role=role, name=name)
            return row.id, token

        made, token = await self._desk.write("admin", make)
        self._once.clear()
        with self._once:
            shown_once(
                f"Key {made}",
                token,
                "It is shown this once and kept nowhere. Programs send it as "
                "`Authorization: Bearer KEY`.",
            )
        await self._list()
        return True

    async def _revoke(self, key_id: str, name: str) -> None:
        sure = await theme.confirm(
            f"Revoke {name or key_id}?",
            "Whatever calls Heed with this key is refused within a second. It cannot be undone.",
            "Revoke",
            danger=True,
        )
        if not sure:
            return

        def revoke(session: Session, who: Caller) -> None:
            staffing.revoke_key(session, actor=who.actor, key_id=key_id)

        await self._desk.write("admin", revoke)
        self._desk.say("The key is revoked.")
        await self._list()


PAGE = Page(
    path="/settings/keys",
    title="API keys",
    icon="vpn_key",
    needs="admin",
    build=build,
    listed=False,
)
