"""Alerts: listed, taken note of, resolved, and as they look on the wire. Decides nothing."""

import time
from collections.abc import Sequence
from typing import Any, Literal

from sqlmodel import Session, col, func, select

from feedback.errors import NotFound
from feedback.settings import PROJECT
from serving.auth import audit
from serving.models import Alert, WatchedVersion

State = Literal["open", "acknowledged", "resolved"]
STATES: tuple[State, ...] = ("open", "acknowledged", "resolved")


def alerts(
    session: Session,
    *,
    state: State | None = None,
    adapter: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[Alert], bool]:
    """Return alerts, the newest first, and whether there are more.

    Args:
        session: a session that only reads.
        state: only these.
        adapter: only those about this version.
        after: id of the last one on the page before.
        limit: so many at most.
    """
    query = select(Alert).where(Alert.project_id == PROJECT)
    if state is not None:
        query = query.where(Alert.state == state)
    if adapter is not None:
        query = query.where(Alert.adapter_id == adapter)
    if after is not None:
        query = query.where(col(Alert.id) < after)
    rows = list(session.exec(query.order_by(col(Alert.id).desc()).limit(limit + 1)))
    return rows[:limit], len(rows) > limit


def unresolved(session: Session) -> dict[str, int]:
    """Return how many alerts are open, by version."""
    query = (
        select(Alert.adapter_id, func.count())
        .where(Alert.project_id == PROJECT, Alert.state == "open")
        .group_by(col(Alert.adapter_id))
    )
    return dict(session.exec(query).all())


def acknowledge(session: Session, alert_id: str, *, actor: str) -> Alert:
    """Take note of an alert; twice is the same as once. The caller commits.

    The measure is watched anew from then on, against what it is now; and this alert rolls nothing back.

    Raises:
        NotFound: there is no such alert.
    """
    query = select(Alert).where(Alert.id == alert_id, Alert.project_id == PROJECT)
    row = session.exec(query.with_for_update()).first()
    if row is None:
        raise NotFound(f"No alert {alert_id!r}; `heed watch alerts` lists them.", param="alert")
    if row.state == "open":
        row.state, row.acknowledged_by, row.acknowledged_at = "acknowledged", actor, time.time()
        session.add(row)
        audit(session, actor=actor, action="alert.acknowledge", subject=row.id, detail=row.message)
    return row


def resolve_others(session: Session, watched_id: str, *, now: float) -> None:
    """Resolve the alerts about every version that is live no longer. The caller commits."""
    for state in ("open", "acknowledged"):
        query = select(Alert).where(
            Alert.project_id == PROJECT, Alert.state == state, Alert.watched_id != watched_id
        )
        for row in session.exec(query):
            row.state, row.resolved_at = "resolved", now
            session.add(row)
    session.flush()


def versions(
    session: Session, *, adapter: str | None = None, limit: int = 10
) -> Sequence[WatchedVersion]:
    """Return what is measured of the versions that were live, the newest first."""
    query = select(WatchedVersion).where(WatchedVersion.project_id == PROJECT)
    if adapter is not None:
        query = query.where(WatchedVersion.adapter_id == adapter)
    return session.exec(query.order_by(col(WatchedVersion.since).desc()).limit(limit)).all()


def wire(row: Alert) -> dict[str, Any]:
    """Return an alert as routes, commands and the webhook give it."""
    return {
        "id": row.id,
        "object": "alert",
        "adapter": row.adapter_id,
        "measure": row.measure,
        "direction": row.direction,
        "harmful": row.harmful,
        "state": row.state,
        "message": row.message,
        "at": row.at,
        "since": row.since,
        "evidence": row.evidence,
        "needed": row.needed,
        "before": row.before,
        "after": row.after,
        "acknowledged_by": row.acknowledged_by,
        "acknowledged_at": row.acknowledged_at,
        "resolved_at": row.resolved_at,
        "rolled_back_to": row.rolled_back_to,
        "rollback": row.rollback or None,
        "delivery": row.delivery,
        "delivery_error": row.delivery_error,
    }
