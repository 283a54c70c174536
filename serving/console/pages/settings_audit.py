"""Settings, audit log: who did what, to what, and when. Knows no SQL; changes nothing."""

from urllib.parse import urlencode

from nicegui import ui
from sqlmodel import Session

from serving import audit_log
from serving.console import theme
from serving.console.desk import Desk, go
from serving.console.registry import Page
from serving.console.settings_parts import choice, field, parts_of_settings
from serving.models import AuditEntry

ROWS = 50
PATH = "/settings/audit"
ANY = "everything"


async def build(desk: Desk) -> None:
    """Draw the page that the address names: its filters, and after which entry."""
    query = desk.request.query_params
    actor, action, after = (query.get(name, "") for name in ("actor", "action", "after"))
    rows, names, actions = await desk.read(_read, actor, action, after or None)
    theme.heading("Audit log", "Who did what, to what, and when; nothing here can be changed.")
    parts_of_settings(desk, PATH)
    _filters(actor, action, actions)
    if not rows:
        theme.empty(
            "history",
            "Nothing to see",
            "No entry fits these filters." if actor or action else "Nothing was done yet.",
        )
        return
    shown = rows[:ROWS]
    with theme.card():
        theme.table(
            ("When", "Who", "What", "On what", "More"),
            [_row(each, names) for each in shown],
            label="Audit log",
        )
        with theme.row("end"):
            if after:
                _link("Newest", actor=actor, action=action)
            if len(rows) > ROWS:
                _link("Older", actor=actor, action=action, after=shown[-1].id)


def _read(
    session: Session, actor: str, action: str, after: str | None
) -> tuple[list[AuditEntry], dict[str, str], list[str]]:
    rows = audit_log.entries(session, actor=actor, action=action, before=after, limit=ROWS + 1)
    names = audit_log.names(session, {each for row in rows for each in (row.actor, row.subject)})
    return rows, names, audit_log.actions(session)


def _filters(actor: str, action: str, actions: list[str]) -> None:
    known = [ANY, *actions] + ([action] if action and action not in actions else [])
    with ui.element("div").classes("heed-form inline").props('role="search"'):
        who = field("Who", actor, hint="a name, an id, cli")
        what = choice("What", known, action or ANY)

        def look() -> None:
            chosen = "" if what.value == ANY else str(what.value)
            go(_address(actor=(who.value or "").strip(), action=chosen))

        who.on("keydown.enter", look)
        what.on_value_change(look)
        theme.button("Filter", look)


def _row(row: AuditEntry, names: dict[str, str]) -> list[object]:
    def named(given: str) -> None:
        if given in names:
            theme.text(names[given])
        else:
            theme.text(given, "mono small")

    return [
        lambda: theme.when(row.at),
        lambda: named(row.actor),
        lambda: theme.text(row.action, "mono small"),
        lambda: named(row.subject),
        row.detail,
    ]


def _link(label: str, **query: str) -> None:
    link = ui.element("a")
    link._props["href"] = _address(**query)
    with link:
        theme.text(label)


def _address(**query: str) -> str:
    given = urlencode({name: value for name, value in query.items() if value})
    return f"/console{PATH}" + (f"?{given}" if given else "")


PAGE = Page(path=PATH, title="Audit log", icon="history", needs="admin", build=build, listed=False)
