"""One round: live while it runs; then the verdict, the funnel, the loss curve, the recipe.

Cancelling is what `POST /v1/rounds/{id}/cancel` does. Knows no SQL.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nicegui import ui
from sqlmodel import Session

from feedback.errors import HeedError
from feedback.text import counted
from serving import accounts, pairs_wire
from serving.console import loss_curve, offers, recipe, theme
from serving.console.desk import Desk
from serving.console.pages import rounds as listing
from serving.console.pages import rounds_pairs_view as pairs_view
from serving.console.registry import Page
from serving.console.round_live import Live, lasting
from serving.console.verdict_view import judged
from serving.context import Heed
from serving.routes import rounds as routes
from trainer import curve, funnel
from trainer import round as rounds
from trainer.funnel import Step
from trainer.models import Round

SETTLED_SECONDS = 3.0
_TONES = {"Used": "good", "Held out": "", "Refused": "bad"}
_FATES = {
    "refused": "The gate refused what it learned: what was used goes to review.",
    "abstained": "The gate could not tell: what was used waits for the next round.",
    "failed": "The round broke off: its feedback waits for the next one.",
    "cancelled": "The round was cancelled: its feedback waits for the next one.",
}


@dataclass(frozen=True)
class Seen:
    """What the page shows, read at one time."""

    row: Round
    steps: list[Step]
    points: list[dict[str, Any]]
    pairs: dict[str, Any]
    names: dict[str, str]


async def build(desk: Desk) -> None:
    """Draw the page."""
    around = ui.element("div").classes("heed-page")

    async def draw() -> None:
        seen = await desk.read(_read, desk.parts, desk.request.path_params["round_id"])
        around.clear()
        with around:
            await _draw(desk, seen, draw)

    await draw()


def _read(session: Session, parts: Heed, round_id: str) -> Seen:
    row = rounds.get(session, round_id)
    return Seen(
        row=row,
        steps=funnel.steps(row.counts or {}, funnel.collected(session, row)),
        points=curve.drawn(parts.settings.feedback.data_dir, row.id),
        pairs=pairs_wire.summary(session, row),
        names=accounts.names(session),
    )


async def _draw(desk: Desk, seen: Seen, draw: Any) -> None:
    row = seen.row
    with theme.heading("Round", row.id):
        theme.badge(row.state, listing.TONES.get(row.state, "soft"))
        if row.state in ("open", "pending"):
            offers.explain(desk, "operator")
            offers.offer(
                desk, "operator", "Cancel", lambda: _cancel(desk, row.id, draw), icon="stop"
            )
    if row.state == "open":
        with theme.card("Now"):
            await Live(desk, row.id, draw).draw()
    elif row.report:
        judged(row)
    else:
        with theme.card("What came of it"):
            theme.prose(row.message or "Nothing is on record.", "strong")
    pairs_view.summary(row.id, seen.pairs, may=desk.may("reviewer"))
    if row.state == "pending":
        _until_settled(desk, row, draw)
    _funnel(seen)
    notes = (row.counts or {}).get("notes", [])
    if notes:
        with theme.card("Notes"):
            for note in notes:
                theme.prose(str(note), "")
    if seen.points and row.state != "open":
        with theme.card("Loss", loss_curve.told(seen.points)):
            ui.html(loss_curve.svg(seen.points), sanitize=False)  # numbers only
            _legend(seen.points)
    _about(row, seen.names)
    _recipe(row)


def _until_settled(desk: Desk, row: Round, draw: Any) -> None:
    """Look whether reviewers have decided a round that waits for them."""

    async def look() -> None:
        try:
            now = await desk.read(rounds.get, row.id)
        except HeedError:
            return  # the database is away for a moment
        if now.state != "pending" or now.message != row.message:
            await draw()

    ui.timer(SETTLED_SECONDS, look, immediate=False)


async def _cancel(desk: Desk, round_id: str, draw: Any) -> None:
    if not await theme.confirm(
        "Cancel this round?",
        "What it has learned so far is lost. Its feedback waits for the next round, and what is "
        "live stays live.",
        "Cancel the round",
        danger=True,
    ):
        return
    who = await desk.allow("operator")
    await asyncio.to_thread(routes.cancel, round_id, desk.parts, who)
    desk.say("The round ends as soon as it can.")
    await draw()


def _funnel(seen: Seen) -> None:
    row, documents = seen.row, (seen.row.counts or {}).get("documents")
    if not seen.steps and not documents:
        return
    with theme.card("Funnel", "From what people said to what was learned."):
        if row.state in _FATES:
            theme.prose(_FATES[row.state])
        if documents:
            theme.facts(
                [
                    ("Documents", f"{documents.get('files', 0)} read"),
                    ("Pieces", documents.get("pieces")),
                    ("Learned", documents.get("trained")),
                    ("Held out", documents.get("held_out")),
                    ("Kept for dev", documents.get("dev") or None),
                ]
            )
        most = max((each.count for each in seen.steps), default=0) or 1
        with ui.element("ol").classes("heed-funnel"):
            for each in seen.steps:
                with ui.element("li"):
                    theme.text(each.name, "strong")
                    theme.text(f"{each.count:,}", "count")
                    bar = theme.bar(each.count / most, f"{each.name}: {each.count} of {most}")
                    bar.classes(_TONES.get(each.name, ""))
                    theme.text(each.note, "soft small")
        examples = (row.counts or {}).get("examples") or {}
        if examples:
            told = ", ".join(counted(number, kind) for kind, number in examples.items())
            theme.prose(f"Made into examples: {told}.")


def _legend(points: list[dict[str, Any]]) -> None:
    with theme.row("soft small heed-legend"):
        theme.text("training", "loss")
        if any(each.get("dev_loss") is not None for each in points):
            theme.text("held aside (dev)", "dev")


def _about(row: Round, called: dict[str, str]) -> None:
    took = None
    if row.started_at is not None and row.ended_at is not None:
        took = lasting(row.ended_at - row.started_at)
    with theme.card("About it"), ui.element("dl").classes("heed-facts"):
        _fact("Opened", lambda: theme.when(row.created_at))
        _fact("Because", lambda: theme.text(listing.because(row.trigger, called)))
        if took is not None:
            _fact("Took", lambda: theme.text(took))
        if row.attempts > 1:
            _fact("Attempts", lambda: theme.text(row.attempts))
        _fact("Compared with", lambda: version(row.incumbent_id))
        if row.candidate_id:
            _fact("Made", lambda: version(row.candidate_id))
        if row.snapshot_sha256:
            _fact("Snapshot", lambda: theme.text(row.snapshot_sha256, "mono small"))


def _fact(name: str, draw: Any) -> None:
    theme.text(name, tag="dt")
    with ui.element("dd"):
        draw()


def version(adapter_id: str | None) -> ui.element:
    """A version's name that leads to its page."""
    if adapter_id is None:
        return theme.text("the base model")
    made = ui.element("a").classes("mono small")
    made._props["href"] = f"/console/adapters/{adapter_id}"
    with made:
        theme.text(adapter_id)
    return made


def _recipe(row: Round) -> None:
    chosen, usual = recipe.settings(row.plan or {})
    with theme.card("Recipe", "The plan, frozen when the round was opened."):
        if chosen:
            theme.table(
                ("Setting", "Value", "By default"),
                [[partial(_setting, each), *_values(each)] for each in chosen],
                label="Settings that differ from the defaults",
            )
        else:
            theme.prose("Everything as it is by default.")
        with ui.element("details").classes("heed-more"):
            theme.text(f"{len(usual)} settings as they are by default", tag="summary")
            theme.facts([(each.name, each.value) for each in usual])


def _values(each: recipe.Setting) -> list[Callable[[], object]]:
    return [partial(theme.text, said, "mono small") for said in (each.value, each.default)]


def _setting(each: recipe.Setting) -> None:
    theme.text(each.name, "mono small")
    if each.meaning:
        theme.prose(each.meaning, "soft small")


PAGE = Page(
    path="/rounds/{round_id}",
    title="Round",
    icon="model_training",
    needs="reviewer",
    build=build,
    order=41,
    listed=False,
)
