"""A part of the Insights page: what people complain about, in groups, with examples. Knows no SQL."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from feedback import insights
from serving.console import theme
from serving.console.desk import Desk
from serving.console.pages.insights_votes import incomplete, span
from serving.console.theme import Tone

SHOWN_GROUPS = 15
TWICE = 2
FEW = 4
"""Of fewer complaints nothing is said about whether they become more."""


async def build(desk: Desk, days: int) -> None:
    """Draw the groups, the largest first."""
    since, until, _ = span(days)
    told = await desk.read(insights.complaints, since=since, until=until)
    if not told["complaints"]:
        theme.empty(
            "thumb_up",
            f"No complaints in the last {days} days",
            "A complaint is a thumb down, a correction or a remark. If nobody says anything at "
            "all, look whether the widget is in your page; or choose a longer time above.",
        )
        return
    groups = told["groups"]
    with theme.grid():
        theme.stat("Complaints", f"{told['complaints']:,}", f"in {days} days")
        theme.stat("People", f"{told['people']:,}", "who complained")
        theme.stat("Topics", sum(each["topic"] is not None for each in groups), "told apart")
    if all(each["topic"] is None for each in groups):
        theme.prose("There are too few complaints yet to tell topics apart; here are some of them.")
    most = max(each["complaints"] for each in groups)
    for each in groups[:SHOWN_GROUPS]:
        _group(each, most, told["complaints"])
    if len(groups) > SHOWN_GROUPS:
        theme.prose(f"{len(groups) - SHOWN_GROUPS} smaller groups are not shown.", "soft small")
    incomplete(told)


def _group(group: Mapping[str, Any], most: int, total: int) -> None:
    title = group["topic"] or "About something else"
    with theme.card(), ui.element("article").classes("insights-complaint"):
        with theme.row():
            theme.text(title, tag="h3")
            said, tone = _trend(group["earlier"], group["later"])
            if said:
                theme.badge(said, tone)
        share = group["complaints"] / total
        counted = f"{_of(group['complaints'], 'complaint')} of {_of(group['people'], 'person')}"
        theme.text(f"{counted} · {share:.0%} of all", "soft small")
        theme.bar(group["complaints"] / most, f"{title}: {counted}", "bad")
        if group["reasons"]:
            with theme.row():
                for reason in group["reasons"]:
                    theme.badge(f"{reason['reason']} · {reason['count']}", "soft")
        with ui.element("ul").classes("insights-examples"):
            for example in group["examples"]:
                _example(example)


def _example(example: Mapping[str, Any]) -> None:
    with ui.element("li"):
        theme.text(example["question"] or "A question that is not kept any more")
        if example["said"]:
            theme.text(example["said"], "insights-said soft")
        link = ui.element("a").classes("small")
        query = urlencode({"part": "receipts", "id": example["id"]})
        link._props["href"] = f"/console/insights?{query}"
        link._props["aria-label"] = f"What became of {example['id']}"
        with link:
            theme.text("What became of it")


def _trend(earlier: int, later: int) -> tuple[str, Tone]:
    """Whether the later half of the time saw many more, or many fewer."""
    if earlier + later < FEW:
        return "", ""
    if later >= TWICE * max(earlier, 1):
        return f"more of late: {earlier} → {later}", "warn"
    if earlier >= TWICE * max(later, 1):
        return f"fewer of late: {earlier} → {later}", "good"
    return "", ""


def _of(count: int, noun: str) -> str:
    several = "people" if noun == "person" else f"{noun}s"
    return f"{count:,} {noun if count == 1 else several}"
