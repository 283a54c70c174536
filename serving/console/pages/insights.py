"""Insights: what people think of the answers, what they miss, and what was learned and lost.

One part at a time, named in the address with its time span, so that a view can be sent to
somebody. Knows no SQL and no part's content.
"""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

from nicegui import ui

from serving.console import theme
from serving.console.desk import Desk
from serving.console.pages import (
    insights_complaints,
    insights_forgetting,
    insights_receipts,
    insights_signals,
    insights_trust,
    insights_votes,
)
from serving.console.registry import Page

PATH = "/console/insights"
STYLE = Path(__file__).parents[1] / "static" / "insights.css"
DAYS = (7, 30, 90, 365)
USUAL_DAYS = 30
Part = Callable[[Desk, int], Awaitable[None]]
PARTS: dict[str, tuple[str, str, bool, Part]] = {
    "satisfaction": (
        "Satisfaction",
        "The share of votes that were content, with 95% intervals.",
        True,
        insights_votes.satisfaction,
    ),
    "complaints": (
        "Complaints",
        "What people disliked, grouped by its words; the commonest first.",
        True,
        insights_complaints.build,
    ),
    "corrections": (
        "Corrections",
        "How often people wrote a better answer, and what became of it.",
        True,
        insights_votes.corrections,
    ),
    "forgetting": (
        "Forgetting",
        "What was right before a round and wrong after it, by name.",
        False,
        insights_forgetting.build,
    ),
    "signals": (
        "Signals",
        "What clicks, copies and time say of satisfaction, and how well.",
        False,
        insights_signals.build,
    ),
    "trust": (
        "Trust",
        "How far people's word can be relied on, and who counts less, and why.",
        False,
        insights_trust.build,
    ),
    "receipts": (
        "Receipts",
        "What became of one piece of feedback, by its id.",
        False,
        insights_receipts.build,
    ),
}
"""By the name in the address: the title, what it shows, whether it is of a time span, who draws it."""


async def build(desk: Desk) -> None:
    """Draw the page with the part that the address names."""
    mark = hashlib.sha256(STYLE.read_bytes()).hexdigest()[:12]
    ui.add_head_html(f'<link rel="stylesheet" href="/console/static/insights.css?v={mark}">')
    asked = desk.request.query_params
    chosen = asked.get("part", "")
    chosen = chosen if chosen in PARTS else "satisfaction"
    days = _days(asked.get("days"))
    theme.heading("Insights", "What people think, what they miss, and what was learned and lost.")
    with ui.element("nav").props('aria-label="Insights"').classes("insights-parts"):
        for name, (title, _, _, _) in PARTS.items():
            _link(title, {"part": name, "days": str(days)}, here=name == chosen)
    title, note, of_a_time, draw = PARTS[chosen]
    with theme.heading(title, note, level=2):
        if of_a_time:
            with ui.element("nav").props('aria-label="Time"').classes("insights-choice"):
                for each in DAYS:
                    said = f"{each} days" if each < DAYS[-1] else "a year"
                    more = {name: asked[name] for name in ("by",) if name in asked}
                    _link(said, {"part": chosen, "days": str(each), **more}, here=each == days)
    with ui.element("div").classes("insights-part"):
        outline = theme.skeleton()
        try:
            await draw(desk, days)
        finally:
            outline.delete()


def _link(title: str, query: dict[str, str], *, here: bool) -> None:
    link = ui.element("a")
    link._props["href"] = f"{PATH}?{urlencode(query)}"
    if here:
        link._props["aria-current"] = "page"
    with link:
        theme.text(title)


def _days(asked: str | None) -> int:
    return next((each for each in DAYS if str(each) == asked), USUAL_DAYS)


PAGE = Page(
    path="/insights",
    title="Insights",
    icon="insights",
    needs="reviewer",
    build=build,
    order=60,
)
