"""A list of items, of which several are selected and decided at once.

What is selected only the browser knows; it is told with the decision. Knows no SQL.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from feedback.errors import Invalid
from serving.console import theme
from serving.console.desk import Desk
from serving.console.pages.review_asked import Asked
from serving.console.pages.review_calls import Calls
from serving.console.pages.review_card import REASONS
from serving.console.pages.review_done import Done

Item = dict[str, Any]
ROWS = 50
_RATINGS = {"up": "liked", "down": "not liked"}


class Bulk:
    """The list.

    Args:
        desk: of the page.
        calls: what it can ask for.
        asked: the lane, its filters and where the page begins.
        done: what was decided here, to be undone.
        changed: called after each decision.
        empty: draws what is shown where nothing is left.
    """

    def __init__(
        self,
        desk: Desk,
        calls: Calls,
        asked: Asked,
        done: Done,
        *,
        changed: Callable[[], Awaitable[None]],
        empty: Callable[[], Awaitable[None]],
    ) -> None:
        self._desk, self._calls, self._asked = desk, calls, asked
        self._done, self._changed, self._draw_empty = done, changed, empty

    async def draw(self) -> None:
        """Draw the page of the list that is asked for."""
        self._place = ui.element("div").classes("heed-review-bulk")
        await self._again()

    async def hear(self, told: Item) -> None:
        """Do what the browser tells."""
        if told.get("what") != "together":
            return
        named = told.get("ids")
        ids = [str(each) for each in named][:ROWS] if isinstance(named, list) else []
        if not ids:
            raise Invalid("Select some rows first; `x` selects the one you are on.")
        decision, reason = str(told.get("decision")), str(told.get("reason") or "").strip()
        after = await self._calls.decide(ids, decision=decision, reason=reason or None)
        self._done.add({"id": ids[0]}, decision, None, len(after), lane=after[0]["lane"])
        await self._again()
        await self._changed()

    async def undo(self) -> None:
        """Take back what was decided together last."""
        decided = self._done.take()
        self._done.hide()
        if decided is None:
            self._desk.say("There is nothing to undo.")
            return
        back = await self._calls.undo(decided.item["id"])
        self._desk.say(f"{len(back)} taken back." if len(back) > 1 else "Taken back.")
        await self._again()
        await self._changed()

    async def _again(self) -> None:
        rows, more = await self._calls.listed(
            self._asked.filters(), self._asked.order, after=self._asked.after, limit=ROWS
        )
        self._place.clear()
        with self._place:
            if not rows:
                await self._draw_empty()
                return
            self._actions(len(rows))
            with ui.element("div").classes("heed-review-rows"):
                for row in rows:
                    self._row(row)
            with theme.row():
                if self._asked.after:
                    self._link("To the beginning", self._asked.address())
                if more:
                    self._link(f"The next {ROWS}", self._asked.address(after=rows[-1]["id"]))

    def _actions(self, count: int) -> None:
        with theme.row("heed-review-actions"):
            with ui.element("label").classes("heed-check"):
                ui.element("input").props('type="checkbox"').classes("heed-review-all")
                theme.text(f"All {count}")
            theme.text("0 selected", "soft small heed-review-chosen")
            with theme.row("end"):
                buttons = [
                    ("Accept", "accept", "a", "check"),
                    ("Refuse", "open-refuse", "r", "block"),
                ]
                if self._asked.lane in ("accepted", "refused", "edited"):
                    buttons.append(("Back to waiting", "reopen", "", "undo"))
                for label, does, key, icon in buttons:
                    kind = "main" if does == "accept" else ""
                    made = theme.button(label, key=key, icon=icon, kind=kind)
                    made._props["data-do"] = does
        self._reasons()

    def _reasons(self) -> None:
        panel = ui.element("section").classes("heed-review-panel refuse")
        panel._props |= {"aria-label": "Refuse, and why", "hidden": True}
        with panel:
            theme.text("Why do they teach nothing?", tag="h2")
            with theme.row():
                for number, said in enumerate(REASONS, 1):
                    made = theme.button(said, key=str(number))
                    made._props |= {"data-do": "refuse", "data-value": said}
            with theme.row("heed-review-line"):
                box = ui.element("input").props('type="text" maxlength="2000"')
                box._props |= {
                    "data-reason": "",
                    "aria-label": "Another reason",
                    "placeholder": "Another reason, or none",
                }
                made = theme.button("Refuse", key="Ctrl+Enter", kind="main")
                made._props["data-do"] = "refuse"

    def _row(self, item: Item) -> None:
        said = item["feedback"]
        row = ui.element("div").classes("heed-review-row")
        row._props |= {"data-row": item["id"], "tabindex": 0, "role": "group"}
        question = _question(item)
        row._props["aria-label"] = question[:100] or "A conversation"
        with row:
            box = ui.element("input").props('type="checkbox"')
            box._props["aria-label"] = f"Select: {question[:100]}"
            with ui.element("div").classes("heed-review-cell"):
                link = ui.element("a").classes("heed-review-open")
                link._props["href"] = self._asked.address(view="focus", item=item["id"])
                with link:
                    theme.text(question or "A whole conversation")
                if said.get("correction") is not None:
                    theme.word_diff(item["answer"] or "", said["correction"]).classes("small")
                elif said.get("comment"):
                    theme.text(said["comment"], "small heed-review-quote", "p")
            with ui.element("div").classes("heed-review-marks"):
                theme.badge(item["kind"], "soft")
                if said.get("rating") is not None:
                    theme.badge(_RATINGS.get(str(said["rating"]), f"rated {said['rating']}"))
                if item["alike"] > 1:
                    theme.badge(f"{item['alike']} alike", "busy")
                for tag in item["tags"][:3]:
                    theme.badge(tag, "busy")
                if item["trust"] is not None:
                    theme.text(f"trust {item['trust']:.0%}", "soft small")
                if item["reserved"]:
                    own = item["reserved"]["by"] == self._desk.who.actor
                    theme.badge("yours" if own else "somebody has it", "warn")
                theme.when(item["created_at"]).classes("soft small")

    def _link(self, label: str, address: str) -> None:
        made = ui.element("a").classes("heed-button")
        made._props["href"] = address
        with made:
            theme.text(label)


def _question(item: Item) -> str:
    messages = item["messages"] or []
    said = messages[-1].get("content") if messages else ""
    return said if isinstance(said, str) else ""
