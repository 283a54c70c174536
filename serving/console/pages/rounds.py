"""Rounds: what makes the next one due, the one that runs, and what came of the others.

Starting one is what `POST /v1/rounds` does. Knows no SQL.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from nicegui import ui
from sqlmodel import Session

from feedback import harvest
from serving import accounts, schedule
from serving.console import lineage, offers, theme, verdict
from serving.console.desk import Desk, go
from serving.console.registry import Page
from serving.console.round_live import Live, lasting
from serving.console.theme import Tone
from serving.context import Heed
from serving.routes import rounds as routes
from serving.schedule import Coming
from trainer import round as rounds
from trainer.models import Round

SHOWN_ROUNDS = 25
TONES: dict[str, Tone] = {
    "open": "busy",
    "pending": "warn",
    "promoted": "good",
    "refused": "bad",
    "failed": "bad",
    "abstained": "warn",
    "cancelled": "soft",
}


@dataclass(frozen=True)
class Seen:
    """What the page shows, read at one time."""

    rows: list[Round]
    more: bool
    running: Round | None
    available: int
    new: int
    coming: Coming
    names: dict[str, str]


async def build(desk: Desk) -> None:
    """Draw the page."""
    before = desk.request.query_params.get("before")
    seen = await desk.read(_read, desk.parts, before)
    with theme.heading("Rounds", "What Heed learned, and when."):
        offers.explain(desk, "operator")
        if seen.running is None:
            offers.offer(
                desk,
                "operator",
                "Start a round now",
                lambda: _start(desk, seen.available),
                icon="play_arrow",
                kind="main",
            )
    if before is None:
        if seen.running is not None:
            await _running(desk, seen.running, seen.names)
        _next(desk, seen)
    _listed(seen, first=before is None)


def _read(session: Session, parts: Heed, before: str | None) -> Seen:
    now = parts.store.now_seconds(session)
    rows = rounds.rounds(session, limit=SHOWN_ROUNDS + 1, before=before)
    return Seen(
        rows=rows[:SHOWN_ROUNDS],
        more=len(rows) > SHOWN_ROUNDS,
        running=rounds.current(session),
        available=harvest.available(session),
        new=rounds.new_material(session),
        coming=schedule.coming(session, parts.settings.trainer, after_seconds=now),
        names=accounts.names(session),
    )


async def _start(desk: Desk, available: int) -> None:
    if not await theme.confirm(
        "Start a round now?",
        f"It learns from what is accepted ({available} now), with the settings in force. Answers go "
        "on as before while it runs; what it learned goes live only if the gate lets it through.",
        "Start the round",
    ):
        return
    who = await desk.allow("operator")
    made = await asyncio.to_thread(routes.start, desk.parts, who)
    go(f"/console/rounds/{made['id']}")


async def _running(desk: Desk, row: Round, called: Mapping[str, str]) -> None:
    async def ended() -> None:
        ui.navigate.reload()

    with theme.card("Running now"):
        with theme.row():
            link(row.id)
            theme.text(because(row.trigger, called), "soft small")
        await Live(desk, row.id, ended, with_curve=False).draw()


def _next(desk: Desk, seen: Seen) -> None:
    settings, parts = desk.parts.settings.trainer, desk.parts
    missing = max(settings.new_material - seen.new, 0)
    with theme.card("Next round"):
        with theme.row():
            theme.text(f"{missing:,}", "heed-count")
            theme.text(
                "until the next round" if missing else "more are needed: it is due", "strong"
            )
        theme.bar(
            seen.new / settings.new_material,
            f"{seen.new} of {settings.new_material} new pieces of feedback",
        )
        theme.prose(
            f"{seen.new:,} of {settings.new_material:,} new pieces of feedback have been accepted "
            "since the last round; as soon as they are complete, one starts."
        )
        if seen.coming.fault:
            theme.prose(seen.coming.fault, "failed")
        elif not seen.coming.dates:
            theme.prose("The schedule names no time.")
        else:
            theme.prose(
                f"Or on these dates, if at least {settings.minimum_material:,} are ready by then; "
                f"{seen.available:,} are now."
            )
            with theme.row():
                for each in seen.coming.dates:
                    theme.badge(each, "soft")
        if not parts.scheduler.enabled:
            theme.prose("This process starts no rounds; one with the role `scheduler` does.")


def _listed(seen: Seen, *, first: bool) -> None:
    if not seen.rows:
        if not first:
            theme.empty("history", "There are no earlier rounds", "The list begins before these.")
            return
        theme.empty(
            "model_training",
            "There has been no round",
            f"{seen.available:,} pieces of feedback are ready for one. Say what you think of answers "
            "in the chat or accept feedback in review; then a round starts by itself, or with the "
            "button above, or with `heed round run`.",
        )
        return
    with theme.card("Rounds" if first else "Earlier rounds"):
        theme.table(
            ("Round", "Outcome", "Opened", "Took", "Learned from", "Verdict"),
            [_cells(each) for each in seen.rows],
            label="Rounds",
        )
        if first and not seen.more:
            return
        with theme.row("end"):
            if not first:
                to_first = ui.element("a").props('href="/console/rounds"')
                with to_first:
                    theme.text("Newest rounds")
            if seen.more:
                older = ui.element("a").props(f'href="/console/rounds?before={seen.rows[-1].id}"')
                with older:
                    theme.text("Earlier rounds")


def _cells(row: Round) -> list[object]:
    counts = row.counts or {}
    took, learned = "", ""
    if row.started_at is not None and row.ended_at is not None:
        took = lasting(row.ended_at - row.started_at)
    if "feedback" in counts:
        learned = f"{counts.get('used', 0):,} of {counts['feedback']:,}"
    said = verdict.sentence(row.state, row.report) if row.report else row.message
    if row.state == "open":
        said = f"{row.stage}, {row.progress:.0%}"
    return [
        lambda: link(row.id),
        lambda: theme.badge(row.state, TONES.get(row.state, "soft")),
        lambda: theme.when(row.created_at),
        took,
        learned,
        lambda: theme.text(said, "heed-clamp"),
    ]


def because(trigger: str, called: Mapping[str, str]) -> str:
    """Why a round was opened, with the names of people who have an account.

    Args:
        trigger: as it is stored.
        called: see `accounts.names`.
    """
    return re.sub(r"\bacc_\w+", lambda found: called.get(found[0], found[0]), trigger)


def link(round_id: str) -> ui.element:
    """A round's name that leads to its page."""
    made = ui.element("a").classes("mono small heed-nowrap")
    made._props |= {
        "href": f"/console/rounds/{round_id}",
        "aria-label": round_id,
        "title": round_id,
    }
    with made:
        theme.text(lineage.short(round_id))
    return made


PAGE = Page(
    path="/rounds", title="Rounds", icon="model_training", needs="reviewer", build=build, order=40
)
