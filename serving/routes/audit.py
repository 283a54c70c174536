"""``/v1/audit``: who did what. ``/v1/settings``: what is set. ``/v1/schedule``: when rounds are due."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from serving import audit_log, schedule, wire
from serving.commands import settings_text
from serving.context import AsAdmin, AsReviewer, Heed, Parts
from trainer import timetable
from trainer.models import Timetable
from trainer.settings import TrainerSettings

router = APIRouter(tags=["operations"])


class Chosen(BaseModel):
    """When rounds are to be due."""

    model_config = ConfigDict(extra="forbid")

    cron: str = Field(
        min_length=1, max_length=200, description="Five fields, or six with seconds first."
    )
    timezone: str | None = Field(
        None, min_length=1, max_length=100, description="An IANA name; by default the one in force."
    )


@router.get("/v1/audit")
def index(
    parts: Parts,
    who: AsAdmin,
    *,
    actor: Annotated[
        str | None, Query(max_length=200, description="An account's name, or an id.")
    ] = None,
    action: Annotated[
        str | None,
        Query(max_length=200, description="Such as `key.create`; `key.` is all about keys."),
    ] = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """List what was done, newest first."""
    with parts.store.session() as session:
        rows = audit_log.entries(session, actor=actor, action=action, before=after, limit=limit + 1)
        shown = rows[:limit]
        names = audit_log.names(
            session, {each for row in shown for each in (row.actor, row.subject)}
        )
    return wire.page([wire.audited(row, names) for row in shown], more=len(rows) > limit)


@router.get("/v1/settings")
def settings(parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """List every setting in force, and where its value comes from; secrets are masked."""
    return {"object": "settings", "data": settings_text.in_force(parts.settings)}


@router.get("/v1/schedule")
def read_schedule(
    parts: Parts,
    who: AsReviewer,
    *,
    cron: Annotated[
        str | None, Query(max_length=200, description="By default the schedule in force.")
    ] = None,
    timezone: Annotated[str | None, Query(max_length=100, description="An IANA name.")] = None,
) -> dict[str, Any]:
    """Say what a schedule means, and when it would be due next. Changes nothing."""
    with parts.store.session() as session:
        settings = timetable.in_force(session, parts.settings.trainer)
        return _schedule(parts, session, _with(settings, cron, timezone))


@router.put("/v1/schedule")
def choose_schedule(body: Chosen, parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """Choose when rounds are due; it holds at once, and goes before the settings."""
    with parts.store.session(write=True) as session:
        settings = timetable.in_force(session, parts.settings.trainer)
        settings = _with(settings, body.cron, body.timezone)
        schedule.choose(session, settings, actor=who.actor)
        session.commit()
        return _schedule(parts, session, settings)


@router.delete("/v1/schedule")
def reset_schedule(parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """Let the schedule of the settings hold again; returns it."""
    with parts.store.session(write=True) as session:
        schedule.reset(session, actor=who.actor)
        session.commit()
        return _schedule(parts, session, parts.settings.trainer)


def _with(settings: TrainerSettings, cron: str | None, timezone: str | None) -> TrainerSettings:
    return timetable.like(
        settings,
        settings.schedule if cron is None else cron.strip(),
        settings.timezone if timezone is None else timezone.strip(),
    )


def _schedule(parts: Heed, session: Session, settings: TrainerSettings) -> dict[str, Any]:
    read = schedule.read(settings, after_seconds=parts.store.now_seconds(session))
    row = timetable.chosen(session)
    return {
        "object": "schedule",
        "cron": read.expression,
        "timezone": read.timezone,
        "meaning": read.meaning,
        "next": read.times,
        "chosen": None if row is None else _chosen(row),
    }


def _chosen(row: Timetable) -> dict[str, Any]:
    return {
        "cron": row.cron,
        "timezone": row.timezone,
        "by": row.chosen_by,
        "at": row.chosen_at,
    }
