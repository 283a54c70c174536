"""Adapters: who is answered by what, the evidence, the line of descent, and two versions compared.

Promoting, rolling back and comparing are what the API's routes do. Knows no SQL.
"""

import asyncio
from dataclasses import dataclass

from nicegui import ui
from sqlmodel import Session

from serving import canary_watch
from serving.canary_watch import Watched
from serving.console import deploying, lineage, offers, theme, words
from serving.console.comparing import comparison
from serving.console.desk import Desk
from serving.console.registry import Page
from serving.context import Heed
from trainer import registry
from trainer.canary import Result
from trainer.models import Adapter

_NEEDED = {
    "votes": "what people say, first votes",
    "regulars' votes": "people who vote a lot",
    "signals": "what people do with answers",
    "errors": "answers that did not fail",
    "latency": "answers that were not slow",
}


@dataclass(frozen=True)
class Seen:
    """What the page shows, read at one time."""

    adapters: list[Adapter]
    watched: Watched


async def build(desk: Desk) -> None:
    """Draw the page."""
    seen = await desk.read(_read, desk.parts)
    deployed = seen.watched.deployment
    with theme.heading("Adapters", "Every version that was learned, and who is answered by which."):
        if deployed is not None and (deployed.live_id or deployed.canary_id):
            offers.explain(desk, "operator")
            offers.offer(
                desk,
                "operator",
                "Roll back",
                lambda: deploying.roll_back(desk, reload),
                icon="undo",
                kind="danger" if desk.may("operator") else "",
            )
    _answering(desk, seen)
    if not seen.adapters:
        theme.empty(
            "account_tree",
            "There is no adapter yet",
            "Every round that gets as far as the gate leaves one here. See Rounds for what makes the "
            "next one due, or start one there.",
        )
        return
    _descent(seen)
    live_id = deployed.live_id if deployed else None
    comparison(desk, [each.id for each in seen.adapters], reload, live_id)


async def reload() -> None:
    """Show the page anew, when what is said has been read."""
    await asyncio.sleep(0)
    ui.navigate.reload()


def _read(session: Session, parts: Heed) -> Seen:
    return Seen(
        adapters=list(registry.adapters(session)),
        watched=canary_watch.watched(session, parts.settings),
    )


def _answering(desk: Desk, seen: Seen) -> None:
    deployed = seen.watched.deployment
    with theme.card("Who is answered by what"):
        if deployed is None:
            theme.prose("The base model answers everybody; nothing was ever promoted.")
            return
        share = deployed.canary_share if deployed.canary_id else 0.0
        with theme.row():
            theme.badge(f"{1 - share:.0%}", "good")
            link(deployed.live_id)
        if deployed.canary_id is not None:
            with theme.row():
                theme.badge(f"{share:.0%}", "warn")
                link(deployed.canary_id)
                what = "compared by hand" if deployed.mode == "ab" else "canary"
                theme.text(what, "soft small")
            bar = ui.element("div").classes("heed-shares")
            bar._props |= {
                "role": "img",
                "aria-label": f"{1 - share:.0%} by the live version, {share:.0%} by the other",
            }
            with bar:
                ui.element("i").classes("live").style(f"width:{100 * (1 - share):.1f}%")
                ui.element("i").classes("canary").style(f"width:{100 * share:.1f}%")
        with theme.row("soft small"):
            theme.text("Since")
            theme.when(deployed.created_at)
        because = deployed.reason[:1].upper() + deployed.reason[1:]
        theme.text(because, "soft small heed-clamp", "p")
        if desk.parts.swap.error:
            theme.prose(f"This server could not change over: {desk.parts.swap.error}", "failed")
    if deployed is not None and deployed.canary_id is not None:
        _evidence(desk, seen.watched)


def _evidence(desk: Desk, watched: Watched) -> None:
    deployed = watched.deployment
    assert deployed is not None and watched.verdict is not None
    is_ab = deployed.mode == "ab"
    name = lineage.short(str(deployed.canary_id))
    with theme.card("Evidence", watched.verdict.reason):
        if any(each.pairs for each in watched.results):
            with ui.element("div").classes("heed-rules").props('role="list"'):
                for each in watched.results:
                    _stream(each)
        else:
            theme.prose(
                "Nobody who met either version has voted, or done anything that tells, yet."
            )
        if is_ab:
            with theme.row():
                offers.offer(
                    desk,
                    "operator",
                    "End the comparison",
                    lambda: deploying.stop_comparing(desk, reload),
                )
                offers.explain(desk, "operator")
        elif desk.parts.settings.trainer.canary_automatic:
            theme.prose(f"{name} goes or stays by itself, as soon as the evidence is enough.")
        else:
            theme.prose("Nothing happens by itself (`trainer.canary_automatic` is off).")


def _stream(each: Result) -> None:
    with ui.element("div").classes("heed-rule").props('role="listitem"'):
        with ui.element("div").classes("head"):
            theme.text(each.stream.capitalize(), "strong")
            if each.worse:
                theme.badge("worse", "bad")
            elif each.not_worse:
                theme.badge("not worse", "good")
            else:
                theme.badge("unsure", "soft")
            theme.text(_NEEDED.get(each.stream, ""), "soft small")
        if each.estimate is None:
            theme.text(
                f"Nothing to compare yet ({each.new_people} and {each.old_people} people).",
                "soft small",
            )
            return
        points = [100 * value for value in (each.estimate, each.lower, each.upper)]
        said = [words.signed(value) for value in points]
        most = max(*(abs(value) for value in points), 5.0) * 1.1
        figures = (
            f"{said[0]} points, surely from {said[1]} to {said[2]} · {each.pairs:,} pairs · "
            f"e-value {_e_value(each.evidence)} of {_e_value(each.needed)}"
        )
        theme.interval(
            points[0],
            points[1],
            points[2],
            least=-most,
            most=most,
            label=f"{each.stream}: {figures}",
            tone="bad" if each.worse else "good" if each.not_worse else "",
        )
        theme.text(figures, "small figures")
        theme.text(
            f"{each.new_mean:.1%} good of {each.new_people} people, before {each.old_mean:.1%} of "
            f"{each.old_people}. At e-value {_e_value(each.needed)} it counts as worse.",
            "soft small told",
            "p",
        )


def _e_value(value: float) -> str:
    return f"{value:.3g}" if value < 100 or value >= 1e6 else f"{value:,.0f}"


def _descent(seen: Seen) -> None:
    deployed = seen.watched.deployment
    nodes = lineage.layout(seen.adapters, deployed.live_id if deployed else None)
    count = len(seen.adapters)
    told = "1 version." if count == 1 else f"{count:,} versions, the newest on top."
    with theme.card("Line of descent", told):
        around = ui.element("div").classes("heed-descent")
        around._props |= {"role": "region", "aria-label": "Line of descent", "tabindex": 0}
        with around:
            ui.html(lineage.svg(nodes), sanitize=False)  # every text in it is escaped


def link(adapter_id: str | None) -> None:
    """Draw a version's name; an adapter's leads to its page."""
    if adapter_id is None:
        theme.text("the base model", "strong")
        return
    made = ui.element("a").classes("mono")
    made._props["href"] = f"/console/adapters/{adapter_id}"
    with made:
        theme.text(adapter_id)


PAGE = Page(
    path="/adapters",
    title="Adapters",
    icon="account_tree",
    needs="reviewer",
    build=build,
    order=50,
)
