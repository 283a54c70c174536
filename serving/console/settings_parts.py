"""What the pages of the settings share: the way between them, fields, and what is shown once."""

from collections.abc import Sequence

from nicegui import ui

from serving.auth import Role
from serving.console import theme
from serving.console.desk import Desk

PARTS: tuple[tuple[str, str, Role], ...] = (
    ("/settings", "Your account", "viewer"),
    ("/settings/people", "People", "admin"),
    ("/settings/keys", "API keys", "admin"),
    ("/settings/schedule", "Schedule", "admin"),
    ("/settings/values", "Settings in force", "admin"),
    ("/settings/audit", "Audit log", "admin"),
)


def parts_of_settings(desk: Desk, here: str) -> None:
    """Draw the way to the other pages of the settings, where there is one."""
    shown = [each for each in PARTS if desk.may(each[2])]
    if len(shown) > 1:
        tabs("Parts of the settings", [(path, title) for path, title, _ in shown], here)


def tabs(label: str, links: Sequence[tuple[str, str]], here: str) -> None:
    """Draw links between pages that belong together.

    Args:
        label: what they are, for those who do not see them.
        links: each page's path below ``/console`` and its name.
        here: the path of the page that is shown.
    """
    around = ui.element("nav").classes("heed-tabs")
    around._props["aria-label"] = label
    with around:
        for path, title in links:
            link = ui.element("a").props('aria-current="page"' if path == here else "")
            link._props["href"] = f"/console{path}"
            with link:
                theme.text(title)


def field(label: str, value: str = "", *, password: str = "", hint: str = "") -> ui.input:
    """A line to type into.

    Args:
        label: its name.
        value: what stands there at first.
        password: for a password, what browsers call it: ``current-password``, ``new-password``.
        hint: an example.
    """
    made = ui.input(label=label, value=value, placeholder=hint or None, password=bool(password))
    made.props("outlined dense").classes("heed-field")
    made._props["aria-label"] = label
    if hint:
        made.props("stack-label")  # or the name would lie on the example
    if password:
        made._props["autocomplete"] = password
    return made


def choice(label: str, values: Sequence[str], value: str) -> ui.select:
    """A list of words of which one is chosen."""
    made = ui.select(list(values), label=label, value=value)
    made.props("outlined dense options-dense").classes("heed-field")
    made._props["aria-label"] = label
    return made


def copy_button(text: str, label: str) -> ui.button:
    """A button that copies a text in the browser; the server has no part in it."""
    made = theme.icon_button("content_copy", label)
    made._props["data-copy"] = text
    made.on("click", js_handler="(event) => heed.copy(event.currentTarget)")
    return made


def shown_once(title: str, secret: str, note: str) -> None:
    """Show a password or a key that nobody can be shown again."""
    with ui.element("section").classes("heed-card heed-once").props('role="status"'):
        theme.text(title, tag="h2")
        with theme.row():
            theme.text(secret, "mono strong", "code")
            copy_button(secret, "Copy")
        theme.prose(note)
