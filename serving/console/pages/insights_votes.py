"""Two parts of the Insights page: satisfaction over time, and corrections over time. Knows no SQL."""

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, get_args
from urllib.parse import urlencode

from nicegui import ui

from feedback import insights
from feedback.insights import By, Every
from serving.console import theme
from serving.console.desk import Desk
from serving.console.pages import insights_drawing as drawing
from serving.console.theme import Tone

DAY_SECONDS = 86_400.0
DAILY = 31
"""Up to so many days a step is a day, up to `WEEKLY` a week, beyond that a month."""
WEEKLY = 100
GROUPS: dict[str, str] = {
    "": "everybody",
    "adapter": "by adapter",
    "topic": "by topic",
    "language": "by language",
}
SHOWN_STEPS = 50
GOOD = 0.5


async def satisfaction(desk: Desk, days: int) -> None:
    """Draw how satisfied people were: over all, over time, and by what the address names."""
    asked = desk.request.query_params.get("by", "")
    by: By | None = next((each for each in get_args(By) if each == asked), None)
    since, until, every = span(days)
    told = await desk.read(insights.satisfaction, since=since, until=until, every=every, by=by)
    overall, *groups = told["series"]
    if not told["votes"]:
        theme.empty(
            "sentiment_satisfied",
            f"Nobody has voted in the last {days} days",
            "Ask people for a thumb: the widget and the Chat page have one under every answer, and "
            "`POST /v1/feedback` takes it from your own page. Or choose a longer time above.",
        )
        return
    _figures(overall["overall"], told)
    begin, end = day(since), day(until)
    with theme.card(f"Satisfied, per {every}", "The band holds the truth 95 times in 100."):
        line = drawing.points(overall["steps"])
        label = f"Satisfaction per {every}: " + "; ".join(
            f"{each.day.isoformat()} {each.share:.0%}" for each in line
        )
        drawn(drawing.satisfaction(line, begin=begin, end=end, label=label))
        with details("As a table"):
            theme.table(
                ("From", "Satisfied", "95% interval", "Votes", "People"),
                [_step(each) for each in overall["steps"][-SHOWN_STEPS:]],
                label="Satisfaction over time",
            )
    _grouped(groups, by, days, begin, end)
    incomplete(told)


async def corrections(desk: Desk, days: int) -> None:
    """Draw how many corrections came, and what became of them."""
    since, until, every = span(days)
    told = await desk.read(insights.corrections, since=since, until=until, every=every)
    total = told["total"]
    if not told["corrections"]:
        theme.empty(
            "edit_note",
            f"Nobody has corrected an answer in the last {days} days",
            "A correction teaches most of all. People write one with “Suggest a better answer” "
            "under an answer, and reviewers by editing one. Or choose a longer time above.",
        )
        return
    with theme.grid():
        theme.stat("Corrections", f"{total['corrections']:,}", f"in {days} days")
        theme.stat("People", f"{total['people']:,}", "who wrote them")
        learned: Tone = "good" if total["learned"] else ""
        theme.stat("Learned", f"{total['learned']:,}", "a round learned from them", learned)
        waiting: Tone = "warn" if total["waiting"] else ""
        theme.stat("Waiting", f"{total['waiting']:,}", "for a reviewer", waiting)
    with theme.card(f"Corrections, per {every}"):
        steps = told["steps"]
        label = f"Corrections per {every}: " + "; ".join(
            f"{each['from']} {each['corrections']}" for each in steps
        )
        drawn(drawing.stacks(steps, begin=day(since), end=day(until), every=every, label=label))
        with ui.element("ul").classes("insights-legend"):
            for colour, said, count in drawing.legend(total):
                with ui.element("li"):
                    ui.element("i").classes(colour)
                    theme.text(f"{count:,} {said}")
        with details("As a table"):
            names = [name for name, _, _ in drawing.FATES]
            theme.table(
                ("From", "Corrections", "People", *(n.replace("_", " ") for n in names)),
                [
                    [each["from"], each["corrections"], each["people"], *(each[n] for n in names)]
                    for each in steps[-SHOWN_STEPS:]
                ],
                label="Corrections over time",
            )
    incomplete(told)


def span(days: int) -> tuple[float, float, Every]:
    """Return the last days: their beginning and end (Unix seconds), and how long a step is."""
    until = time.time() + 1
    every: Every = "day" if days <= DAILY else "week" if days <= WEEKLY else "month"
    return until - days * DAY_SECONDS, until, every


def day(at: float) -> date:
    """Return the day (UTC) of a moment."""
    return datetime.fromtimestamp(at, UTC).date()


def drawn(svg: str) -> ui.html:
    """Show a drawing, in which every text is escaped."""
    return ui.html(svg, sanitize=False).classes("insights-drawn")


def details(summary: str) -> ui.element:
    """Something to fold out; put its content inside."""
    made = ui.element("details").classes("insights-details")
    with made:
        theme.text(summary, tag="summary")
    return made


def incomplete(told: Mapping[str, Any]) -> None:
    """Say so where there was more than was read."""
    if not told["complete"]:
        theme.prose("There was more than is counted here: these are the newest.", "soft small")


def _figures(overall: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    tone: Tone = "good" if overall["low"] > GOOD else "bad" if overall["high"] < GOOD else ""
    with theme.grid():
        theme.stat(
            "Satisfied",
            f"{overall['share']:.0%}",
            f"95% sure: {overall['low']:.0%} to {overall['high']:.0%}",
            tone,
        )
        theme.stat("Votes", f"{told['votes']:,}", "ratings and corrections")
        theme.stat("People", f"{overall['people']:,}", "who voted")


def _step(each: Mapping[str, Any]) -> list[object]:
    return [
        each["from"],
        f"{each['share']:.0%}",
        f"{each['low']:.0%} to {each['high']:.0%}",
        each["votes"],
        each["people"],
    ]


def _grouped(
    groups: list[dict[str, Any]], by: By | None, days: int, begin: date, end: date
) -> None:
    with theme.card("Who, and about what"):
        with ui.element("nav").props('aria-label="Grouped by"').classes("insights-choice"):
            for name, said in GROUPS.items():
                link = ui.element("a")
                query = {
                    "part": "satisfaction",
                    "days": str(days),
                    **({"by": name} if name else {}),
                }
                link._props["href"] = f"/console/insights?{urlencode(query)}"
                if name == (by or ""):
                    link._props["aria-current"] = "page"
                with link:
                    theme.text(said)
        if by is None:
            theme.prose("Choose what to tell apart; the commonest twenty are shown.")
            return
        if by == "topic" and {each["name"] for each in groups} <= {"other"}:
            theme.prose("There are too few votes yet to tell topics apart.")
            return
        theme.table(
            (by.capitalize(), "Satisfied", "95% interval", "Votes", "People", "Over time"),
            [_group(each, begin, end) for each in groups],
            label=f"Satisfaction by {by}",
        )


def _group(each: Mapping[str, Any], begin: date, end: date) -> list[object]:
    overall, name = each["overall"], each["name"]
    said = (
        f"{name}: {overall['share']:.0%} satisfied, {overall['low']:.0%} to {overall['high']:.0%}"
    )
    tone: Tone = "good" if overall["low"] > GOOD else "bad" if overall["high"] < GOOD else "soft"
    line = drawing.points(each["steps"])
    return [
        partial(theme.text, name, "strong"),
        f"{overall['share']:.0%}",
        partial(
            theme.interval,
            overall["share"],
            overall["low"],
            overall["high"],
            least=0.0,
            most=1.0,
            line=GOOD,
            label=said,
            tone=tone,
        ),
        overall["votes"],
        overall["people"],
        lambda: drawn(
            drawing.spark(line, begin=begin, end=end, label=f"{name}: {len(line)} steps over time")
        ),
    ]
