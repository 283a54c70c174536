"""``/v1/watch`` and ``/v1/alerts``: what is measured of the version that answers, and what changed."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from serving import watch_alerts, watch_shown, wire
from serving.context import AsOperator, AsReviewer, Heed, Parts

router = APIRouter(tags=["watch"])


@router.get("/v1/watch")
def show(parts: Parts, who: AsReviewer, adapter: str | None = None) -> dict[str, Any]:
    """Show each measure of the versions that were live last, with intervals and evidence."""
    with parts.store.session() as session:
        return watch_shown.shown(session, parts.settings.trainer, adapter=adapter)


@router.get("/v1/alerts")
def index(
    parts: Parts,
    who: AsReviewer,
    *,
    state: watch_alerts.State | None = None,
    adapter: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """List alerts, the newest first."""
    with parts.store.session() as session:
        rows, more = watch_alerts.alerts(
            session, state=state, adapter=adapter, after=after, limit=limit
        )
    return wire.page([watch_alerts.wire(row) for row in rows], more=more)


@router.post("/v1/alerts/{alert_id}/acknowledge")
async def acknowledge(alert_id: str, parts: Parts, who: AsOperator) -> dict[str, Any]:
    """Take note of an alert: it rolls nothing back any more, and its measure is watched anew."""
    return await asyncio.to_thread(_acknowledge, parts, alert_id, who.actor)


def _acknowledge(parts: Heed, alert_id: str, actor: str) -> dict[str, Any]:
    with parts.store.session(write=True) as session:
        row = watch_alerts.acknowledge(session, alert_id, actor=actor)
        session.commit()
        return watch_alerts.wire(row)
