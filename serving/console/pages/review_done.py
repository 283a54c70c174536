"""What was decided in this tab, the last first, and the line that offers to take it back.

Knows neither how to decide nor how to undo.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from serving.console import theme
from serving.console.theme import UNDO_SECONDS

Item = dict[str, Any]
MOST_KEPT = 100
"""So many decisions of a tab can be taken back by the key, or a day's work would fill the memory."""
_SAID = {"accept": "Accepted", "refuse": "Refused", "edit": "Edited", "reopen": "Waits again"}


@dataclass(frozen=True)
class Decided:
    """One decision: on which item, and what was typed for it."""

    item: Item
    text: str | None


class Done:
    """Remembers decisions, and tells of the last one for a while."""

    def __init__(self) -> None:
        self._last: deque[Decided] = deque(maxlen=MOST_KEPT)
        with ui.context.client.layout:
            self._line = ui.element("div").classes("heed-undo heed-review-undo")
            self._line._props["role"] = "status"
            with self._line:
                self._said = theme.text("")
                made = theme.button("Undo", kind="plain", key="u")
                made._props["data-do"] = "undo"
            self._line.set_visibility(False)
            self._timer = ui.timer(UNDO_SECONDS, self.hide, active=False)

    def add(self, item: Item, decision: str, text: str | None, count: int, *, lane: str) -> None:
        """Remember a decision, and offer to take it back."""
        self._last.append(Decided(item, text if decision == "edit" else None))
        said = _SAID.get(decision, decision)
        if lane == "waiting" and decision != "reopen":
            said = f"{said}; others judge it, too"
        self.tell(f"{said}: {count} items" if count > 1 else said)

    def tell(self, said: str) -> None:
        """Offer to take back what was done."""
        self._said.set_text(said)
        self._line.set_visibility(True)
        self._timer.deactivate()
        self._timer.activate()

    def take(self) -> Decided | None:
        """Return the last decision, which is to be undone."""
        return self._last.pop() if self._last else None

    def hide(self) -> None:
        """Offer nothing more; the key works still."""
        self._timer.deactivate()
        self._line.set_visibility(False)
