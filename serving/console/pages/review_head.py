"""What stands above the items: lanes with their counts, filters, saved queues, progress, the keys.

Everything here is a link or a form with an address, so it works before a socket is there. Reads
nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, get_args

from nicegui import ui

from feedback.review_models import ItemKind
from serving.console import theme
from serving.console.pages.review_asked import LANES, OPEN, Asked, saved

Item = dict[str, Any]
_CHOICES: dict[str, Sequence[tuple[str, str]]] = {
    "kind": [(each, each) for each in get_args(ItemKind)],
    "rating": [("up", "liked"), ("middling", "middling"), ("down", "not liked")],
}
_FIELDS = (
    ("topic", "Topic", "text"),
    ("tag", "Tag", "text"),
    ("reason", "Reason given", "text"),
    ("adapter", "Adapter", "text"),
    ("person", "Person (as a hash)", "text"),
    ("language", "Language", "text"),
    ("since", "Since", "date"),
    ("until", "Before", "date"),
    ("trust_from", "Trust from", "number"),
    ("trust_to", "Trust to", "number"),
)
_ORDERS = (("best", "best first"), ("oldest", "oldest first"), ("newest", "newest first"))
_KEYS = (
    ("→ or ↓", "skip to the next one"),
    ("← or ↑", "back to the one before"),
    ("a", "accept"),
    ("r, then 1 to 9", "refuse, with a reason"),
    ("e", "edit the answer"),
    ("Ctrl+Enter", "submit the edit, or the refusal"),
    ("Esc", "close the edit; its draft is kept"),
    ("u", "undo the last decision"),
    ("x", "select a row of the list"),
    ("?", "this sheet"),
)


class Lanes:
    """The lanes as tabs, and what is done and left."""

    def __init__(self, asked: Asked, told: Item) -> None:
        self._asked = asked
        with ui.element("nav").props('aria-label="Lanes"').classes("heed-lanes"):
            self._counts = {lane: self._lane(lane) for lane in LANES}
        self._line = ui.element("div").classes("heed-row soft small heed-review-progress")
        self.show(told)

    def show(self, told: Item) -> None:
        """Show these figures."""
        for lane, element in self._counts.items():
            element.set_text(f"{told['lanes'][lane]:,}")
        today, week = told["decided"]["today"], told["decided"]["week"]
        ahead = told["next_round"]
        self._line.clear()
        with self._line:
            theme.text(f"You decided {sum(today['mine'].values())} today")
            theme.text(f"the team {sum(week['team'].values())} in seven days")
            if ahead["running"]:
                theme.text("a round is running")
            elif ahead["missing"]:
                theme.text(f"{ahead['missing']:,} more until the next round", "strong")
            else:
                theme.text("there is enough for the next round", "strong")

    def _lane(self, lane: str) -> Any:
        link = ui.element("a").classes("heed-lane")
        link._props["href"] = self._asked.address(lane=lane)
        if lane == self._asked.lane:
            link._props["aria-current"] = "page"
        with link:
            theme.text(lane.capitalize())
            return theme.text("", "heed-badge")


def tools(asked: Asked) -> None:
    """The switch between one item and a list, and the sheet of keys."""
    for view, label, icon in (("focus", "One by one", "crop_square"), ("bulk", "List", "list")):
        link = ui.element("a").classes("heed-button heed-view")
        link._props |= {"href": asked.address(view=view), "aria-label": label, "title": label}
        if view == asked.view:
            link._props["aria-current"] = "true"
        with link:
            theme.icon(icon)
            theme.text(label)
    made = theme.button("Keys", kind="plain", key="?")
    made._props["data-do"] = "keys"
    sheet = ui.element("dialog").props('id="heed-review-keys" aria-label="Keys"')
    with sheet.classes("heed-dialog heed-review-sheet"):
        theme.text("Keys", tag="h2")
        with ui.element("dl").classes("heed-facts"):
            for key, does in _KEYS:
                with ui.element("dt"):
                    theme.text(key, "heed-key", "kbd")
                theme.text(does, tag="dd")
        theme.prose("They rest while you type in a field. Esc closes this.")


def search(asked: Asked) -> None:
    """Search and filters: a form whose answer is an address."""
    form = ui.element("form").props('method="get" action="/console/review" role="search"')
    with form.classes("heed-review-filters"):
        for name, value in (("view", asked.view), ("lane", asked.lane)):
            hidden = ui.element("input").props('type="hidden"')
            hidden._props |= {"name": name, "defaultValue": value}
        with ui.element("div").classes("heed-row heed-review-search"):
            box = _input("q", "Search questions, answers, corrections, comments", "search", asked)
            box._props["placeholder"] = "Search: every word; cos* for all that begin so"
            theme.button("Search", icon="search").props('type="submit"')
            if asked.given:
                clear = ui.element("a").classes("heed-button")
                clear._props["href"] = asked.address(**dict.fromkeys(asked.given))
                with clear:
                    theme.text("Clear")
        more = ui.element("details")
        used = [name for name in asked.given if name != "q"]
        if used or asked.order != "best":
            more._props["open"] = True
        with more:
            theme.text(f"Filters ({len(used)})" if used else "Filters", tag="summary")
            with ui.element("div").classes("heed-review-fields"):
                for name, choices in _CHOICES.items():
                    _select(name, name.capitalize(), [("", "any"), *choices], asked.given.get(name))
                _select("order", "Order", _ORDERS, asked.order)
                for name, label, kind in _FIELDS:
                    with ui.element("label"):
                        theme.text(label, "soft small")
                        _input(name, label, kind, asked)
            theme.button("Apply").props('type="submit"')


def queues(
    asked: Asked,
    found: Sequence[Item],
    who: str,
    *,
    save: Callable[[str, bool], Awaitable[None]],
    delete: Callable[[str], Awaitable[None]],
) -> None:
    """Saved queues as links, and saving what is looked at."""
    with (
        theme.icon_button("bookmarks", "Saved queues"),
        ui.menu().classes("heed-menu").props('role="dialog" aria-label="Saved queues"'),
    ):
        if not found:
            theme.text("No queue is saved yet.", "soft small heed-item")
        for each in found:
            with theme.row():
                link = ui.element("a").classes("heed-item heed-grow")
                link._props["href"] = saved(each["filters"])
                with link:
                    theme.text(each["name"])
                    theme.text("for everybody" if each["shared"] else "yours", "soft small")
                if each["owner"] == who:
                    named: str = each["id"]
                    theme.icon_button(
                        "delete", f"Delete the queue {each['name']}", _on(delete, named)
                    )
        with ui.element("div").classes("heed-review-save"):
            theme.text("Keep this lane and these filters", "soft small")
            name = ui.input("Name").props("dense outlined maxlength=100")
            shared = ui.checkbox("For everybody")

            async def kept() -> None:
                await save(str(name.value or ""), bool(shared.value))

            theme.button("Save", kept, icon="bookmark_add")


def _on(act: Callable[[str], Awaitable[None]], said: str) -> Callable[[], Awaitable[None]]:
    return lambda: act(said)


def _input(name: str, label: str, kind: str, asked: Asked) -> ui.element:
    box = ui.element("input").classes("heed-field")
    box._props |= {
        "type": kind,
        "name": name,
        "aria-label": label,
        # As what it begins with: as its value, it would be put back whenever something changes.
        "defaultValue": asked.given.get(name, ""),
    }
    if kind == "number":
        box._props |= {"min": 0, "max": 1, "step": 0.05}
    return box


def _select(name: str, label: str, choices: Sequence[tuple[str, str]], chosen: str | None) -> None:
    with ui.element("label"):
        theme.text(label, "soft small")
        box = ui.element("select").classes("heed-field")
        box._props["name"] = name
        with box:
            for value, said in choices:
                option = theme.text(said, tag="option")
                option._props["value"] = value
                if value == (chosen or ""):
                    option._props["selected"] = True


def nothing(asked: Asked, told: Mapping[str, Any]) -> None:
    """Say that nothing is left, why, and what to do next."""
    lanes, ahead = told["lanes"], told["next_round"]
    if asked.given:
        with theme.empty(
            "filter_alt_off",
            "Nothing here matches",
            "Take a filter away, look in another lane, or clear them all.",
        ):
            _link("Clear the filters", asked.address(**dict.fromkeys(asked.given)))
    elif lanes[asked.lane] and asked.lane not in OPEN:
        with theme.empty("last_page", "That was the last one", "There are no more in this lane."):
            _link("From the beginning", asked.address())
    elif lanes[asked.lane]:
        with theme.empty(
            "hourglass_empty",
            "Nothing more for you just now",
            f"{lanes[asked.lane]:,} are left: you skipped them, somebody else has them on the "
            "screen, or they need the verdict of somebody who has not judged them.",
        ):
            _link("Look again", asked.address())
    elif asked.lane == "waiting" and any(lanes.values()):
        missing = ahead["missing"]
        theme.empty(
            "done_all",
            "Everything is decided",
            f"The next round starts with {missing:,} more pieces of accepted feedback."
            if missing
            else "There is enough for the next round; `heed round run` starts it now.",
        )
    elif asked.lane == "waiting":
        with theme.empty(
            "rate_review",
            "Nothing waits for review yet",
            "Corrections and remarks come here. Ask Heed something, say what is wrong with the "
            "answer and correct it, and it is the first.",
        ):
            _link("Open the chat", "/console/")
    else:
        with theme.empty(
            "inbox",
            f"Nothing is in the lane {asked.lane}",
            "What you begin to edit is kept as a draft."
            if asked.lane == "draft"
            else "Where reviewers judge the same item differently, it comes here."
            if asked.lane == "disagreement"
            else "What is decided so comes here, and can be taken back here.",
        ):
            _link("See what waits", asked.address(lane="waiting"))


def _link(label: str, address: str) -> None:
    made = ui.element("a").classes("heed-button")
    made._props["href"] = address
    with made:
        theme.text(label)
