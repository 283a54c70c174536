"""Makes the version before live again where an alert says that this one harms, if that is wished.

What people ask is not the version's fault: while that seems to change too, nothing is rolled back. Nor
is a version that itself came back by a rollback from here: that is for somebody to look at.
"""

import logging
import time

from sqlmodel import Session, col, select

from serving.auth import audit
from serving.engines.base import BASE
from serving.models import Alert, WatchedVersion
from serving.watch_measures import TOPICS
from serving.watch_periods import periods
from trainer import registry
from trainer.models import Adapter, Deployment, RoundEvent
from trainer.watching import Detector

log = logging.getLogger("heed.watch")

ACTOR = "watch"
STAGE = "watch"
DOUBT = 20.0
"""An e-value by which what people ask may well have changed, though it is no alert yet."""


def act(session: Session, row: WatchedVersion, topics: Detector) -> Deployment | None:
    """Roll back where an open alert asks for it, and note on the alert what was done or why not.

    Args:
        session: the one in which the alerts were raised; the caller commits.
        row: the version that is watched, live now.
        topics: what is known of what people ask.
    """
    query = select(Alert).where(Alert.watched_id == row.id, Alert.state == "open")
    found = list(session.exec(query.order_by(col(Alert.id))))
    harmful = [each for each in found if each.harmful]
    if not harmful:
        return None
    asked_otherwise = any(each.measure == TOPICS for each in found)
    why_not = _against(session, row, doubt=asked_otherwise or topics.evidence >= DOUBT)
    if why_not is not None:
        for alert in harmful:
            alert.rollback = f"not rolled back: {why_not}"
            session.add(alert)
        return None
    return _roll_back(session, row, harmful)


def _against(session: Session, row: WatchedVersion, *, doubt: bool) -> str | None:
    deployed = registry.live(session)
    if row.adapter_id == BASE or deployed is None:
        return "the base model is live, and there is nothing before it"
    if deployed.canary_id is not None:
        return (
            f"{deployed.canary_id} is being compared with it; once that has ended it is looked at"
        )
    if periods(session)[-1].actor == ACTOR:
        return "it was itself made live again by a rollback; somebody has to look"
    if doubt:
        return "what people ask seems to have changed as well"
    return None


def _roll_back(session: Session, row: WatchedVersion, harmful: list[Alert]) -> Deployment:
    said = f"{row.adapter_id} is rolled back. {' '.join(each.message for each in harmful)}"
    after = registry.rollback(session, actor=ACTOR, reason=said)
    audit(session, actor=ACTOR, action="adapter.rollback", subject=row.adapter_id, detail=said)
    for alert in harmful:
        alert.rolled_back_to = after.live_id or BASE
        alert.rollback = f"rolled back to {after.live_id or BASE}"
        session.add(alert)
    made_by = session.get_one(Adapter, row.adapter_id).round_id
    if made_by is not None:
        session.add(
            RoundEvent(
                round_id=made_by,
                stage=STAGE,
                progress=1.0,
                message=said,
                data={"alerts": [each.id for each in harmful]},
                at=time.time(),
            )
        )
    log.warning("%s", said)
    return after
