"""Settings, schedule: when rounds are due, what another schedule would mean, and choosing it.

What is chosen here holds at once and for every process, until it is taken back: then the settings
hold again. Knows no SQL.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from nicegui import ui
from sqlmodel import Session

from feedback.errors import Invalid
from serving import audit_log, schedule
from serving.auth import Caller
from serving.commands import settings_text
from serving.console import theme
from serving.console.desk import Desk, go
from serving.console.registry import Page
from serving.console.settings_parts import field, parts_of_settings
from serving.schedule import Reading
from trainer import timetable
from trainer.models import Timetable
from trainer.settings import TrainerSettings

PATH = "/settings/schedule"


@dataclass(frozen=True)
class Seen:
    """What holds now.

    Attributes:
        settings: with the schedule in force.
        chosen: by whom and when, where an admin chose it.
        by: their name.
    """

    settings: TrainerSettings
    chosen: Timetable | None
    by: str


async def build(desk: Desk) -> None:
    """Draw the page."""
    own = desk.parts.settings.trainer
    seen = await desk.read(_seen, own)
    theme.heading("Schedule", "When a round is due, if there is enough to learn from.")
    parts_of_settings(desk, PATH)
    with theme.card("In force"):
        try:
            _show(await _read(desk, seen.settings.schedule, seen.settings.timezone))
        except Invalid as fault:
            theme.prose(fault.message, "failed")
        theme.facts(
            [
                ("Cron", seen.settings.schedule),
                ("Time zone", seen.settings.timezone),
                ("Comes from", _source(desk, seen)),
                ("Needs at least", f"{own.minimum_material} pieces of feedback"),
                ("At any time with", f"{own.new_material} new ones"),
            ]
        )
        if seen.chosen is not None:
            theme.button("Back to the settings", desk.act("admin", partial(_reset, desk)))
    with theme.card(
        "Choose another",
        "Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).",
    ):
        with ui.element("div").classes("heed-form inline"):
            cron = field("Cron", seen.settings.schedule, hint="0 3 * * mon")
            zone = field("Time zone", seen.settings.timezone, hint="Europe/Berlin")

            async def look() -> None:
                asked = (cron.value or "").strip(), (zone.value or "").strip()
                try:
                    found = await _read(desk, *asked)
                except Invalid as fault:
                    read.clear()
                    with read:
                        theme.prose(fault.message, "failed")
                    return
                read.clear()
                with read:
                    _show(found)
                    if found.times:
                        use = desk.act("admin", partial(_choose, desk, *asked))
                        theme.button("Use this schedule", use, kind="main")

            acted = desk.act("admin", look)
            for box in (cron, zone):
                box.on("keydown.enter", acted)
            theme.button("What does it mean?", acted)
        read = ui.element("div").classes("heed-read").props('role="status"')


def _seen(session: Session, settings: TrainerSettings) -> Seen:
    row = timetable.chosen(session)
    names = audit_log.names(session, {row.chosen_by}) if row is not None else {}
    by = names.get(row.chosen_by, row.chosen_by) if row is not None else ""
    return Seen(timetable.in_force(session, settings), row, by)


def _source(desk: Desk, seen: Seen) -> str:
    if seen.chosen is None:
        rows = {row["name"]: row for row in settings_text.in_force(desk.parts.settings)}
        return str(rows["trainer.schedule"]["source"])
    at = datetime.fromtimestamp(seen.chosen.chosen_at, ZoneInfo(seen.chosen.timezone))
    return f"chosen here by {seen.by}, {at:%a %d %b %Y, %H:%M %Z}"


async def _choose(desk: Desk, cron: str, timezone: str) -> None:
    wanted = timetable.like(desk.parts.settings.trainer, cron, timezone)

    def choose(session: Session, who: Caller) -> None:
        schedule.choose(session, wanted, actor=who.actor)

    await desk.write("admin", choose)
    desk.say("The schedule holds from now on.")
    go(PATH)


async def _reset(desk: Desk) -> None:
    def reset(session: Session, who: Caller) -> None:
        schedule.reset(session, actor=who.actor)

    await desk.write("admin", reset)
    desk.say("The settings hold again.")
    go(PATH)


async def _read(desk: Desk, cron: str, timezone: str) -> Reading:
    settings = timetable.like(desk.parts.settings.trainer, cron, timezone)

    def read(session: Session) -> Reading:
        now = desk.parts.store.now_seconds(session)
        return schedule.read(settings, after_seconds=now)

    return await desk.read(read)


def _show(found: Reading) -> None:
    theme.text(found.meaning, "strong", "p")
    if not found.times:
        theme.prose("It names no time that ever comes.", "failed")
    with ui.element("ol").classes("heed-dates").props('aria-label="The next times"'):
        for each in found.dates:
            theme.text(each, tag="li")


PAGE = Page(path=PATH, title="Schedule", icon="schedule", needs="admin", build=build, listed=False)
