"""Overview: what is live, what people said, what waits, the last rounds and the next ones.

Knows no SQL: it shows what the functions behind the API return. Changes nothing.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from nicegui import ui
from sqlmodel import Session

from feedback import harvest, receipts
from feedback.errors import HeedError
from feedback.models import STATUSES
from serving import schedule
from serving.console import theme, verdict
from serving.console.desk import Desk
from serving.console.registry import Page
from serving.console.round_live import lasting
from serving.console.theme import Tone
from serving.context import Heed
from serving.schedule import Coming
from trainer import registry
from trainer import round as rounds
from trainer.models import Adapter, Deployment, Round

SHOWN_ROUNDS = 8
SHOWN_ADAPTERS = 8
SHOWN_CHARACTERS = 8
"""Of a round's id: its end tells it from the others."""
MEANING = {
    "waiting": "kept until a round can learn from it",
    "review": "a reviewer decides",
    "used": "a round learned from it",
    "held_out": "kept aside, to judge a round by",
    "refused": "not learned from",
    "withdrawn": "taken back by whoever sent it",
    "forgotten": "erased",
}
TONES: dict[str, Tone] = {
    "live": "good",
    "promoted": "good",
    "canary": "busy",
    "open": "busy",
    "candidate": "busy",
    "refused": "bad",
    "rejected": "bad",
    "failed": "bad",
}


@dataclass(frozen=True)
class Seen:
    """What the page shows, read at one time."""

    live: Deployment | None
    counts: dict[str, int]
    totals: dict[str, int]
    available: int
    rounds: list[Round]
    adapters: list[Adapter]
    coming: Coming


async def build(desk: Desk) -> None:
    """Draw the page."""
    seen = await desk.read(_read, desk.parts)
    theme.heading("Overview", "What Heed is doing now, and what it learned from.")
    _live(desk.parts, seen)
    _figures(seen)
    _rounds(seen)
    _next(desk.parts, seen)
    _adapters(seen)
    _receipt(desk)


def _read(session: Session, parts: Heed) -> Seen:
    now = parts.store.now_seconds(session)
    return Seen(
        live=registry.live(session),
        counts=dict(receipts.counts(session)),
        totals=dict(receipts.totals(session)),
        available=harvest.available(session),
        rounds=rounds.rounds(session, limit=SHOWN_ROUNDS),
        adapters=list(registry.adapters(session)[:SHOWN_ADAPTERS]),
        coming=schedule.coming(session, parts.settings.trainer, after_seconds=now),
    )


def _live(parts: Heed, seen: Seen) -> None:
    deployed, answering = seen.live, parts.router.route.live
    named = (deployed.live_id if deployed else None) or "base"
    with theme.card("What is live"):
        if deployed is None:
            theme.prose(
                "The base model answers everybody; nothing has been learned yet. The first round "
                "that the gate lets through changes that."
            )
        else:
            canary = None
            if deployed.canary_id:
                canary = f"{deployed.canary_id} answers {deployed.canary_share:.0%} of people"
            theme.facts(
                [
                    ("Adapter", named if deployed.live_id else "none: the base model answers"),
                    ("Deployment", deployed.generation),
                    ("Canary", canary),
                    ("Because", deployed.reason),
                ]
            )
            with theme.row("soft small"):
                theme.text("Changed")
                theme.when(deployed.created_at)
        if answering != named:
            theme.badge(f"this server still answers with {answering}", "warn")
        if parts.swap.error:
            theme.prose(f"It could not change over: {parts.swap.error}", "failed")


def _figures(seen: Seen) -> None:
    if not seen.totals["feedback"]:
        theme.empty(
            "rate_review",
            "Nobody has said anything yet",
            f"{seen.totals['exchanges']} answers are on record. Chat with Heed and say what you "
            "think of an answer, put the widget into your own page, or send POST /v1/feedback.",
        )
        return
    with theme.grid().classes("four"):
        theme.stat("Answers", seen.totals["exchanges"])
        theme.stat("People", seen.totals["people"], "who said something")
        theme.stat("Ready", seen.available, "accepted; the next round learns from it")
        for status in STATUSES:
            if status == "waiting":
                if more := seen.counts[status] - seen.available:
                    theme.stat("Signals", more, "they teach once votes say what they mean")
            elif seen.counts[status] or status in ("review", "used"):
                tone: Tone = "warn" if status == "review" and seen.counts[status] else ""
                label = status.replace("_", " ").capitalize()
                theme.stat(label, seen.counts[status], MEANING[status], tone)


def _rounds(seen: Seen) -> None:
    with theme.card("Last rounds"):
        if not seen.rounds:
            theme.prose(
                f"There has been no round; {seen.available} pieces of feedback are ready for one. "
                "It starts by itself as said below, or now with `heed round run`."
            )
            return
        theme.table(
            ("Round", "State", "Opened", "Took", "Learned from", "Verdict"),
            [_round(each) for each in seen.rounds],
            label="Last rounds",
        )


def _round(row: Round) -> list[object]:
    counts, report = row.counts or {}, row.report or {}
    took = ""
    if row.started_at is not None and row.ended_at is not None:
        took = lasting(row.ended_at - row.started_at)
    learned = ""
    if "feedback" in counts:
        learned = f"{counts.get('used', 0)} of {counts['feedback']}"
    said = verdict.sentence(row.state, report) if report else row.message or ""
    if row.state == "open":
        said = f"{row.stage}, {row.progress:.0%}"
    return [
        lambda: _link(f"/rounds/{row.id}", f"…{row.id[-SHOWN_CHARACTERS:]}"),
        lambda: theme.badge(row.state, TONES.get(row.state, "soft")),
        lambda: theme.when(row.created_at),
        took,
        learned,
        said,
    ]


def _next(parts: Heed, seen: Seen) -> None:
    settings = parts.settings.trainer
    with theme.card("Next rounds"):
        theme.prose(
            f"A round starts at these times if {settings.minimum_material} pieces of feedback are "
            f"ready, and at any time once {settings.new_material} are. Ready now: "
            f"{seen.available}."
        )
        if not parts.scheduler.enabled:
            theme.prose("This process starts no rounds; one with the role `scheduler` does.")
        if seen.coming.fault:
            theme.prose(seen.coming.fault, "failed")
            return
        with theme.row():
            for each in seen.coming.dates:
                theme.badge(each, "soft")
        if not seen.coming.dates:
            theme.prose("The schedule names no time.")


def _adapters(seen: Seen) -> None:
    with theme.card("Adapters"):
        if not seen.adapters:
            theme.prose(
                "There is none yet; every round that gets as far as the gate leaves one here."
            )
            return
        theme.table(
            ("Adapter", "State", "Parent", "Made"),
            [_adapter(each) for each in seen.adapters],
            label="Newest adapters",
        )


def _adapter(row: Adapter) -> list[object]:
    return [
        lambda: _link(f"/adapters/{row.id}", row.id),
        lambda: theme.badge(row.state, TONES.get(row.state, "soft")),
        lambda: theme.text(row.parent_id or "the base model", "mono small"),
        lambda: theme.when(row.created_at),
    ]


def _link(address: str, said: str) -> None:
    link = ui.element("a").classes("mono small")
    link._props["href"] = f"/console{address}"
    with link:
        theme.text(said)


def _receipt(desk: Desk) -> None:
    with theme.card("Receipt", "What became of one piece of feedback."):
        with theme.row():
            box = ui.input(placeholder="fbk_…").props(
                'outlined dense aria-label="Id of the feedback"'
            )

            async def look() -> None:
                shown.clear()
                with shown:
                    await _became(desk, (box.value or "").strip())

            box.on("keydown.enter", desk.act("reviewer", look))
            theme.button("Look up", desk.act("reviewer", look))
        shown = ui.element("div")


async def _became(desk: Desk, feedback_id: str) -> None:
    try:
        found, _ = await desk.read(receipts.receipt, feedback_id)
    except HeedError as fault:
        theme.prose(fault.message)
        return
    theme.facts(
        [
            ("Status", f"{found.status}: {MEANING[found.status]}"),
            ("Because", found.reason or None),
            ("Round", found.round_id),
            ("Adapter", found.adapter_id),
            ("Looked up", datetime.fromtimestamp(time.time()).strftime("%H:%M")),
        ]
    )


PAGE = Page(
    path="/overview",
    title="Overview",
    icon="dashboard",
    needs="reviewer",
    build=build,
    order=20,
)
