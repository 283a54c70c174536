"""A round that waits for reviewers: counted once enough have spoken, and never waited for too long.

It holds no slot, so another round may open; the scheduler ends it then, since two candidates of one
incumbent cannot both follow it. Knows no HTTP, no model and no process.
"""

import time

from sqlmodel import Session, col, select

from feedback.errors import Conflict
from feedback.settings import PROJECT
from trainer import outcome, pair_rule, pair_store, registry
from trainer.gate import GateReport
from trainer.models import Round, RoundState
from trainer.pair_store import GRACE_SECONDS
from trainer.rules import Rule
from trainer.settings import Plan

SUPERSEDED = (
    "A later round opened before reviewers had judged enough; its feedback goes to that one."
)
LATE = "Reviewers did not judge enough in the days that it waited; its feedback waits for the next."
MOVED = "Another adapter went live while this round waited; its feedback waits for the next."
BY_HAND = "Its adapter was promoted by hand while the round waited for reviewers."
FORGOTTEN = (
    "Somebody whose words its adapter had learned was forgotten while it waited; what others said "
    "waits for the next."
)


def current(session: Session, *, locked: bool = False) -> Round | None:
    """Return the round that waits, if there is one.

    Args:
        session: of the store.
        locked: nobody else decides it before the commit; SQLite's writer is alone anyway.
    """
    query = select(Round).where(Round.project_id == PROJECT, Round.state == "pending")
    if locked:
        query = query.with_for_update()
    return session.exec(query.order_by(col(Round.id).desc())).first()


def vacant(session: Session) -> None:
    """Refuse where a round waits.

    Raises:
        Conflict: names it, and what to do.
    """
    found = current(session)
    if found is not None:
        raise Conflict(
            f"Round {found.id} waits for reviewers and would be lost. Judge it (`heed round judge "
            f"{found.id}`), or end it (`heed round cancel {found.id}`)."
        )


def look(
    session: Session,
    *,
    now_seconds: float | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> Round | None:
    """Settle the round that waits, where it is time. The caller commits.

    The verdicts are counted once. Were they looked at after each, a candidate that is worse by the
    margin would sooner or later be promoted by chance.

    Args:
        session: a writing session.
        now_seconds: Unix seconds; by default this machine's clock.
        grace_seconds: how long after the last verdict.

    Returns:
        The round, where it was settled.
    """
    row = current(session, locked=True)
    if row is None:
        return None
    now = time.time() if now_seconds is None else now_seconds
    deployed = registry.live(session)
    if deployed is not None and row.candidate_id in (deployed.live_id, deployed.canary_id):
        _settle(session, row, "promoted", _report(row), BY_HAND)
        return row
    if registry.live_id(session) != row.incumbent_id:
        end(session, row, MOVED)
        return row
    judging = pair_store.judging(session, row, now_seconds=now, grace_seconds=grace_seconds)
    if judging.complete:
        _count(session, row)
    elif judging.ended:
        end(session, row, LATE)
    else:
        _say_how_many(session, row, judging.needed)
        return None
    return row


def end(session: Session, row: Round, message: str, *, state: RoundState = "abstained") -> None:
    """End a round that waits without a promotion, and give its feedback back. The caller commits."""
    _settle(session, row, state, _report(row), message)


def supersede(session: Session) -> Round | None:
    """End the round that waits, if there is one, for another to open. The caller commits."""
    row = current(session, locked=True)
    if row is not None:
        end(session, row, SUPERSEDED)
    return row


def feedback_ids(row: Round) -> frozenset[str]:
    """Return the ids of all feedback that a waiting round works with."""
    return frozenset() if row.pending is None else outcome.Parts.stored(row.pending).ids


def _count(session: Session, row: Round) -> None:
    plan = Plan.model_validate(row.plan)
    rule = pair_rule.preferred(
        pair_store.told(session, row.id),
        margin_points=plan.gate_pairs_margin_points,
        seed=plan.seed,
    )
    assert row.pending is not None
    report = pair_rule.decided(_report(row), rule, str(row.pending["summary"]))
    states: dict[str, RoundState] = {"promote": "promoted", "refuse": "refused"}
    _settle(session, row, states.get(report.outcome, "abstained"), report, report.summary)


def _settle(
    session: Session, row: Round, state: RoundState, report: GateReport, message: str
) -> None:
    outcome.settle(session, row, state=state, report=report, message=message)
    session.flush()


def _say_how_many(session: Session, row: Round, needed: int) -> None:
    """Keep the number of pairs that still need a verdict where people look for it."""
    plan = Plan.model_validate(row.plan)
    rule: Rule = pair_rule.awaited(needed, margin_points=plan.gate_pairs_margin_points)
    report = pair_rule.waiting(_report(row), rule, row.id)
    if report.summary != row.message:
        row.report, row.message = report.to_json(), report.summary
        session.add(row)


def _report(row: Round) -> GateReport:
    assert row.report is not None
    return GateReport.from_json(row.report)
