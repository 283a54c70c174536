"""``/v1/rounds``: starting, watching and ending rounds."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from sqlmodel import col, select

from serving import pairs_wire, wire
from serving.auth import audit
from serving.context import AsOperator, AsReviewer, Heed, Parts
from trainer import curve, leftovers
from trainer import round as rounds
from trainer.models import RoundEvent

router = APIRouter(tags=["rounds"])

WATCH_SECONDS = 0.3


@router.get("/v1/rounds")
def index(
    parts: Parts,
    who: AsReviewer,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: str | None = None,
) -> dict[str, Any]:
    """List rounds, newest first."""
    with parts.store.session() as session:
        rows = rounds.rounds(session, limit=limit + 1, before=after)
    return wire.page([wire.round_(row) for row in rows[:limit]], more=len(rows) > limit)


@router.post("/v1/rounds", status_code=201)
def start(parts: Parts, who: AsOperator) -> dict[str, Any]:
    """Open a round now, with the settings in force."""
    with parts.store.session(write=True) as session:
        row = rounds.open(
            session,
            parts.settings.feedback,
            parts.settings.trainer,
            trigger=f"by hand ({who.actor})",
        )
        audit(session, actor=who.actor, action="round.start", subject=row.id)
        session.commit()
    parts.scheduler.nudge()
    return wire.round_(row)


@router.get("/v1/rounds/{round_id}")
def show(round_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Show a round with its report and its loss curve."""
    with parts.store.session() as session:
        row = rounds.get(session, round_id)
        compared = pairs_wire.summary(session, row)
    drawn = curve.drawn(parts.settings.feedback.data_dir, row.id)
    return wire.round_(row, curve=drawn, pairs=compared)


@router.post("/v1/rounds/{round_id}/cancel")
def cancel(round_id: str, parts: Parts, who: AsOperator) -> dict[str, Any]:
    """End a round, or ask its process to; its feedback waits for the next one."""
    with parts.store.session(write=True) as session:
        row = rounds.cancel(parts.store, session, round_id)
        audit(session, actor=who.actor, action="round.cancel", subject=row.id)
        session.commit()
    leftovers.clear(parts.store, row.id)
    return wire.round_(row)


@router.get(
    "/v1/rounds/{round_id}/events",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def events(
    round_id: str,
    parts: Parts,
    who: AsReviewer,
    after: Annotated[int, Query(ge=0, lt=2**31)] = 0,  # the ids are PostgreSQL's INTEGER
) -> StreamingResponse:
    """Stream a round's progress as server-sent events until it ends."""
    with parts.store.session() as session:
        rounds.get(session, round_id)
    return StreamingResponse(_follow(parts, round_id, after), media_type="text/event-stream")


async def _follow(parts: Heed, round_id: str, after: int) -> AsyncIterator[str]:
    while True:
        lines, ended = await asyncio.to_thread(_read, parts, round_id, after)
        for line in lines:
            after = line["id"]
            yield f"id: {after}\nevent: progress\ndata: {json.dumps(line)}\n\n"
        if ended is not None:
            yield f"event: end\ndata: {json.dumps(ended)}\n\n"
            return
        await asyncio.sleep(WATCH_SECONDS)


def _read(
    parts: Heed, round_id: str, after: int
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    with parts.store.session() as session:
        row = rounds.get(session, round_id)
        query = select(RoundEvent).where(
            RoundEvent.round_id == round_id, col(RoundEvent.id) > after
        )
        lines = [wire.event(line) for line in session.exec(query.order_by(col(RoundEvent.id)))]
        return lines, None if row.state == "open" else wire.round_(row)
