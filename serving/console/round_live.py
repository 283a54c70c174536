"""A round while it runs: its stages, how far it is, how long it will take, and its loss as it falls.

Looks twice a second and changes what is shown in its place. Knows no page and no SQL.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui
from sqlmodel import Session

from feedback.errors import HeedError
from serving.console import loss_curve, theme
from serving.console.desk import Desk
from trainer import curve
from trainer import round as rounds
from trainer.models import Round
from trainer.progress import STAGES

LOOK_SECONDS = 0.5
SURE_SHARE = 0.04
"""Before so much is done nobody can say how long the rest will take."""


class Live:
    """What is shown of one open round.

    Args:
        desk: of the visit.
        round_id: whose.
        ended: called once when the round is over.
        with_curve: whether the loss is drawn.
    """

    def __init__(
        self,
        desk: Desk,
        round_id: str,
        ended: Callable[[], Awaitable[None]],
        *,
        with_curve: bool = True,
    ) -> None:
        self._desk = desk
        self._id = round_id
        self._ended = ended
        self._with_curve = with_curve
        self._shown: object = None

    async def draw(self) -> None:
        """Draw it, and keep it up to date for as long as the page is open."""
        with ui.element("div").classes("heed-live"):
            self._stages = ui.element("ol").classes("heed-stages")
            self._stages._props["aria-label"] = "Stages"
            self._bar = ui.element("div")
            with theme.row("soft small"):
                self._message = theme.text("", "grow").props('role="status"')
                self._left = theme.text("")
            self._curve = ui.html("", sanitize=False)  # loss_curve writes numbers only
        self._timer = ui.timer(LOOK_SECONDS, self._look, immediate=False)
        await self._look()

    async def _look(self) -> None:
        try:
            row, points = await self._desk.read(self._read)
        except HeedError:
            return  # the database is away for a moment; what is shown stays
        if row.state != "open":
            self._timer.deactivate()
            await self._ended()
            return
        shown = (row.stage, row.progress, row.message, row.cancel_requested, len(points))
        if shown != self._shown:
            self._shown = shown
            self._show(row, points)
        self._left.set_text(left(row, time.time()))

    def _read(self, session: Session) -> tuple[Round, list[dict[str, Any]]]:
        row = rounds.get(session, self._id)
        points: list[dict[str, Any]] = []
        if self._with_curve:
            points = curve.drawn(self._desk.parts.settings.feedback.data_dir, self._id)
        return row, points

    def _show(self, row: Round, points: list[dict[str, Any]]) -> None:
        names = list(STAGES)
        at = names.index(row.stage) if row.stage in names else -1
        self._stages.clear()
        with self._stages:
            for number, name in enumerate(names):
                kind = "done" if number < at else "now" if number == at else ""
                step = theme.text(name.capitalize(), kind, "li")
                if kind == "now":
                    step._props["aria-current"] = "step"
        self._bar.clear()
        with self._bar:
            theme.bar(row.progress, f"{row.progress:.0%} of the round")
        stopping = "Stops as soon as it can." if row.cancel_requested else row.message
        self._message.set_text(stopping)
        if points:
            self._curve.set_content(loss_curve.svg(points))


def left(row: Round, now: float) -> str:
    """Return how long an open round will take, in words.

    Args:
        row: of the round.
        now: Unix seconds.
    """
    if row.started_at is None:
        return "waits for its process"
    if row.progress < SURE_SHARE:
        return f"{row.progress:.0%}"
    seconds = (now - row.started_at) * (1 - row.progress) / row.progress
    return f"{row.progress:.0%} · about {lasting(seconds)} left"


def lasting(seconds: float) -> str:
    """Return a span of time as people say it."""
    if seconds < 90:
        count, unit = max(round(seconds), 1), "second"
    elif seconds < 5400:
        count, unit = round(seconds / 60), "minute"
    else:
        count, unit = round(seconds / 3600), "hour"
    return f"{count} {unit}{'' if count == 1 else 's'}"
