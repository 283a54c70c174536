"""Since when a version answers everybody, and what it is compared with. Only reads.

The time before is the last one in which the version itself, or one that it descends from, was live:
after a rollback that is the version's own earlier time, and not that of the version which was bad.
"""

from dataclasses import dataclass

from sqlmodel import Session, col

from feedback.columns import columns
from feedback.settings import PROJECT
from serving.engines.base import BASE
from trainer import registry
from trainer.models import Deployment


@dataclass(frozen=True)
class Period:
    """A time in which one version was live, whatever canaries came and went beside it.

    Attributes:
        adapter: the version; `base` for the base model.
        deployment: id of the deployment that began it; "" before the first.
        actor: who began it.
        begin: Unix seconds.
        end: when the next began; None while it goes on.
    """

    adapter: str
    deployment: str
    actor: str
    begin: float
    end: float | None


def periods(session: Session) -> list[Period]:
    """Return every period, the oldest first; the last one goes on."""
    query = (
        columns(Deployment.id, Deployment.live_id, Deployment.actor, Deployment.created_at)
        .where(col(Deployment.project_id) == PROJECT)
        .order_by(col(Deployment.generation))
    )
    found = [Period(BASE, "", "", 0.0, None)]
    for row in session.connection().execute(query):
        adapter = row.live_id or BASE
        last = found[-1]
        if adapter == last.adapter:
            continue
        found[-1] = Period(last.adapter, last.deployment, last.actor, last.begin, row.created_at)
        found.append(Period(adapter, row.id, row.actor, row.created_at, None))
    return found


def reference(session: Session, known: list[Period]) -> Period | None:
    """Return what the last of these periods is compared with; None where there is nothing."""
    now = known[-1]
    family = {BASE, now.adapter}
    if now.adapter != BASE:
        family |= {each.id for each in registry.lineage(session, now.adapter)}
    else:
        family = {BASE}
    return next((each for each in reversed(known[:-1]) if each.adapter in family), None)
