"""Settings, in force: every value, where it comes from and what it is for. Changes nothing."""

from typing import Any

from nicegui import ui

from serving.commands import settings_text
from serving.console import theme
from serving.console.desk import Desk
from serving.console.registry import Page
from serving.console.settings_parts import parts_of_settings, tabs

PATH = "/settings/values"
CHANGED = "changed"
ROWS = 50


async def build(desk: Desk) -> None:
    """Draw the part that the address names: what differs from its default, or a section."""
    rows = settings_text.in_force(desk.parts.settings)
    sections = list(dict.fromkeys(_section(row) for row in rows))
    part = desk.request.query_params.get("part", CHANGED)
    shown = [row for row in rows if _section(row) == part]
    if not shown:
        part, shown = CHANGED, [row for row in rows if row["source"] != "default"]
    theme.heading(
        "Settings in force",
        "As this process started with them. They are changed in heed.toml or in the environment, "
        "and hold from the next start on.",
    )
    parts_of_settings(desk, PATH)
    links = [(PATH, "Not the default")]
    links += [(f"{PATH}?part={each}", f"[{each}]") for each in sections]
    tabs("Sections", links, PATH if part == CHANGED else f"{PATH}?part={part}")
    if not shown:
        theme.empty("tune", "Everything is as it comes", "No setting differs from its default.")
        return
    page = _page(desk.request.query_params.get("page", ""), len(shown))
    with theme.card():
        theme.table(
            ("Setting", "Value", "From", "What it is for"),
            [_row(each) for each in shown[page * ROWS : (page + 1) * ROWS]],
            label="Settings in force",
        )
        if len(shown) > ROWS:
            with theme.row("end"):
                for each in range((len(shown) - 1) // ROWS + 1):
                    _link(part, each, here=each == page)


def _row(row: dict[str, Any]) -> list[object]:
    value = "unset" if row["value"] is None else row["value"]
    return [
        lambda: theme.text(row["name"], "mono small").props(f'title="{row["variable"]}"'),
        lambda: theme.text(value, "mono small"),
        lambda: theme.badge(row["source"], "soft" if row["source"] == "default" else "busy"),
        row["description"],
    ]


def _link(part: str, page: int, *, here: bool) -> None:
    link = ui.element("a").props('aria-current="page"' if here else "")
    link._props["href"] = f"/console{PATH}?part={part}&page={page}"
    with link:
        theme.text(f"Page {page + 1}", "strong" if here else "")


def _page(given: str, rows: int) -> int:
    return min(int(given), (rows - 1) // ROWS) if given.isdecimal() and len(given) < 5 else 0


def _section(row: dict[str, Any]) -> str:
    return str(row["name"]).partition(".")[0]


PAGE = Page(
    path=PATH, title="Settings in force", icon="tune", needs="admin", build=build, listed=False
)
