"""Buttons for what not everybody may do: shown to all, and dead with the reason to some.

Whether somebody may is looked up anew when the button is pressed (`Desk.act`). Knows no page.
"""

from collections.abc import Awaitable, Callable

from nicegui import ui

from serving.auth import Role
from serving.console import theme
from serving.console.desk import Desk


def offer(
    desk: Desk,
    needs: Role,
    label: str,
    act: Callable[[], Awaitable[object]],
    *,
    icon: str | None = None,
    kind: str = "",
) -> ui.button:
    """Draw a button; without the role it is there, and cannot be pressed.

    Args:
        desk: of the visit.
        needs: the role without which nothing happens.
        label: the word on it.
        act: what it does.
        icon, kind: see `theme.button`.
    """
    made = theme.button(label, desk.act(needs, act), icon=icon, kind=kind)
    if not desk.may(needs):
        made.disable()
        made._props["title"] = reason(desk, needs)
    return made


def explain(desk: Desk, needs: Role) -> None:
    """Say once beside the buttons why they are dead, to those for whom they are."""
    if not desk.may(needs):
        theme.text(reason(desk, needs), "soft small heed-why")


def reason(desk: Desk, needs: Role) -> str:
    """Return why somebody may not."""
    return f"For the role {needs}; yours is {desk.who.role}."
