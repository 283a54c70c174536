"""What stands around every page: the bar, the navigation, the theme, and how a page comes to be.

A page opens with its outline at once; what it shows is read meanwhile. Knows no page.
"""

import asyncio
import logging

from fastapi import Request
from nicegui import Client, background_tasks, ui
from nicegui.client import ClientConnectionTimeout

from feedback.errors import HeedError
from serving.console import theme
from serving.console.desk import Desk
from serving.console.door import WHO
from serving.console.registry import Page, pages

AT_ONCE_SECONDS = 0.2
"""A page that is built within this time is sent whole; of others the outline is sent first."""
THEMES = {"auto": None, "light": False, "dark": True}
_ICONS = {"auto": "brightness_auto", "light": "light_mode", "dark": "dark_mode"}
_TOLD = {"auto": "follows the system", "light": "light", "dark": "dark"}

log = logging.getLogger("heed.console")


async def show(page: Page, client: Client, request: Request) -> None:
    """Answer a visit: the frame at once, then the page."""
    desk = Desk(client, request)
    content = _around(desk, page)
    if not desk.may(page.needs):
        client.status_code = 403
        with content:
            theme.empty(
                "lock",
                f"{page.title} is for the role {page.needs}",
                f"Yours is {desk.who.role}. An admin of this Heed can change it with "
                f"`heed people role {desk.who.name or 'NAME'} {page.needs}`.",
            )
        return
    task = background_tasks.create(_build(page, desk, content), name=f"page {page.path}")
    await asyncio.wait({task}, timeout=AT_ONCE_SECONDS)


def not_found(request: Request) -> None:
    """Answer an address that is no page's."""
    client = ui.context.client
    client.status_code = 404
    with _around(Desk(client, request), None):
        theme.empty("travel_explore", "There is no such page", "The navigation names them all.")


async def _build(page: Page, desk: Desk, content: ui.element) -> None:
    with content:
        outline = theme.skeleton()
        built = ui.element("div").classes("heed-page")
        try:
            with built:
                await page.build(desk)
        except ClientConnectionTimeout:
            desk.client.delete()
        except HeedError as fault:
            built.clear()
            with built:
                theme.empty("error_outline", "This page cannot be shown", fault.message)
        except Exception:
            log.exception("the page %s failed", page.path)
            built.clear()
            with built:
                theme.empty(
                    "error_outline",
                    "Something broke while this page was made",
                    "The log of the server says more. Load the page again to try once more.",
                )
        if not outline.is_deleted:  # the visitor may be gone already
            outline.delete()


def _around(desk: Desk, page: Page | None) -> ui.element:
    theme.head()
    # NiceGUI's page is a `main` around everything; ours is the content alone.
    if (outer := desk.client.content.parent_slot) is not None:
        outer.parent.props('role="presentation"')
    chosen = desk.request.cookies.get("heed_theme", "auto")
    dark = ui.dark_mode(THEMES.get(chosen))
    with ui.element("a").props('href="#main"').classes("heed-skip"):
        theme.text("Skip to content")
    with ui.element("header").classes("heed-bar"):
        with ui.element("a").props('href="/console/"').classes("heed-brand"):
            theme.logo()
            theme.text("Heed")
        ui.element("div").classes("heed-spring")
        _switch(desk, dark, chosen if chosen in THEMES else "auto")
        _account(desk)
    with ui.element("nav").props('aria-label="Console"').classes("heed-nav"):
        for each in pages():
            if each.listed and desk.may(each.needs):
                here = page is not None and _is_below(page.path, each.path)
                link = ui.element("a").props(f'href="/console{each.path}"')
                with link.props('aria-current="page"' if here else ""):
                    theme.icon(each.icon)
                    theme.text(each.title)
    main = ui.element("main").props('id="main" tabindex="-1"').classes("heed-main")
    return main.classes("wide") if page is not None and page.wide else main


def _switch(desk: Desk, dark: ui.dark_mode, chosen: str) -> None:
    now = [chosen]

    def turn() -> None:
        names = list(THEMES)
        now[0] = names[(names.index(now[0]) + 1) % len(names)]
        dark.set_value(THEMES[now[0]])
        button.props(f'icon="{_ICONS[now[0]]}" aria-label="{_label(now[0])}"')
        tip.set_text(_label(now[0]))
        desk.client.run_javascript(
            f"document.cookie = 'heed_theme={now[0]}; path=/console; max-age=31536000; "
            "samesite=lax'"
        )

    button = theme.icon_button(_ICONS[chosen], _label(chosen), turn)
    with button:
        tip = ui.tooltip(_label(chosen))


def _label(name: str) -> str:
    return f"Colours: {_TOLD[name]}. Change"


def _account(desk: Desk) -> None:
    who = desk.request.scope[WHO]
    if not who.key_id:
        theme.badge("open to this machine", "soft")
        return
    with theme.icon_button("account_circle", f"Account of {who.name or who.key_id}"):
        menu = ui.menu().props('anchor="bottom right" self="top right"').classes("heed-menu")
        menu._props |= {"role": "dialog", "aria-label": "Your account"}  # it holds more than items
    with menu:
        with ui.element("div").classes("heed-who"):
            theme.text(who.name or who.key_id, "strong")
            theme.text(who.role, "soft")
        for label, more in (("Sign out", ""), ("Sign out everywhere", "everywhere")):
            with ui.element("form").props('method="post" action="/console/sign-out"'):
                if more:
                    ui.element("input").props(f'type="hidden" name="{more}" value="1"')
                with ui.element("button").props('type="submit"').classes("heed-item"):
                    theme.text(label)


def _is_below(path: str, of: str) -> bool:
    return path == of or (of != "/" and path.startswith(f"{of}/"))
