"""Sees to the canary: reads what people say of it, and lets it go or stay. Knows no statistics.

What was decided, by what, and on which evidence is in the deployment's reason, in the audit log and
among the events of the round that made the version. Every replica follows by itself, as always.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlmodel import Session, col, select

from feedback.settings import PROJECT
from feedback.store import Store
from serving.auth import audit
from serving.canary_evidence import Evidence
from serving.canary_streams import DECISIVE
from serving.settings import Settings
from trainer import registry
from trainer.canary import Result, Stream, Verdict, judge
from trainer.models import Adapter, Deployment, RoundEvent

log = logging.getLogger("heed.canary")

ACTOR = "canary"
STAGE = "canary"


@dataclass(frozen=True)
class Watched:
    """A second version beside the live one, and what is known of the two.

    Attributes:
        deployment: in force; None before the first.
        verdict: what the evidence says; None where no second version answers anybody.
        results: the streams of evidence.
        last: the last deployment that was decided here; None before the first.
    """

    deployment: Deployment | None
    verdict: Verdict | None
    results: tuple[Result, ...]
    last: Deployment | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        deployed, last = self.deployment, self.last
        running = deployed is not None and self.verdict is not None
        return {
            "object": "canary",
            "running": running,
            "mode": deployed.mode if deployed and running else None,
            "live": (deployed.live_id if deployed else None) or "base",
            "canary": deployed.canary_id if deployed else None,
            "canary_share": deployed.canary_share if deployed else 0.0,
            "since": deployed.created_at if deployed and running else None,
            "decision": self.verdict.decision if self.verdict else None,
            "reason": self.verdict.reason if self.verdict else None,
            "streams": [asdict(each) for each in self.results],
            "last": None
            if last is None
            else {"live": last.live_id or "base", "reason": last.reason, "at": last.created_at},
        }


class CanaryWatch:
    """Looks again and again; between two looks it remembers what it has read.

    Args:
        store: the database.
        settings: of the whole server.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._evidence: Evidence | None = None

    def look(self) -> Deployment | None:
        """Read what is new; returns the deployment that follows from it, if one does.

        Raises:
            Unavailable, StorageFull: the database cannot be read or written; nothing was changed.
        """
        with self._store.session() as session:
            deployed = registry.live(session)
            if deployed is None or deployed.canary_id is None:
                self._evidence = None
                return None
            if self._evidence is None or self._evidence.generation != deployed.generation:
                self._evidence = Evidence(deployed, self._settings)
            self._evidence.read(session, now=time.time())
        if deployed.mode != "canary" or not self._settings.trainer.canary_automatic:
            return None  # it is only shown
        verdict = _judged(self._evidence, self._settings)
        if verdict.decision == "continue":
            return None
        results = [asdict(each.result()) for each in self._evidence.streams.values()]
        with self._store.session(write=True) as session:
            decided = _decide(session, deployed, verdict, results)
            session.commit()
        return decided

    def streams(self, canary_id: str) -> Mapping[str, Stream]:
        """Return what was read of a second version; nothing where another process looks."""
        evidence = self._evidence
        return evidence.streams if evidence and evidence.canary_id == canary_id else {}


def watched(session: Session, settings: Settings) -> Watched:
    """Return what is known now of the canary, or of the two versions of an A/B comparison.

    Args:
        session: a session that only reads.
        settings: of the whole server.
    """
    deployed = registry.live(session)
    query = select(Deployment).where(Deployment.project_id == PROJECT, Deployment.actor == ACTOR)
    last = session.exec(query.order_by(col(Deployment.generation).desc()).limit(1)).first()
    if deployed is None or deployed.canary_id is None:
        return Watched(deployed, None, (), last)
    evidence = Evidence(deployed, settings)
    evidence.read(session, now=time.time())
    results = tuple(each.result() for each in evidence.streams.values())
    return Watched(deployed, _judged(evidence, settings), results, last)


def _judged(evidence: Evidence, settings: Settings) -> Verdict:
    return judge(
        evidence.streams,
        decisive=DECISIVE,
        minimum_people=settings.trainer.canary_minimum_people,
    )


def _decide(
    session: Session, deployed: Deployment, verdict: Verdict, results: list[dict[str, Any]]
) -> Deployment | None:
    """Write the decision and everything that tells of it. The caller commits."""
    current = registry.live(session)
    if current is None or current.generation != deployed.generation:
        return None  # somebody else was quicker, by hand or in another process
    canary_id = str(deployed.canary_id)
    stays = verdict.decision == "commit"
    said = f"The canary {canary_id} {'stays' if stays else 'is rolled back'}. {verdict.reason}"
    if stays:
        after = registry.promote(session, canary_id, actor=ACTOR, reason=said)
    else:
        after = registry.rollback(session, actor=ACTOR, reason=said)
    action = "adapter.promote" if stays else "adapter.rollback"
    audit(session, actor=ACTOR, action=action, subject=canary_id, detail=said)
    made_by = session.get_one(Adapter, canary_id).round_id
    if made_by is not None:
        session.add(
            RoundEvent(
                round_id=made_by,
                stage=STAGE,
                progress=1.0,
                message=said,
                data={"decision": verdict.decision, "streams": results},
                at=time.time(),
            )
        )
    log.info("%s", said)
    return after
