"""When a round should start from a fresh adapter instead of continuing the live one. Writes nothing.

A long line of rounds on one adapter carries what it unlearned along, and its room fills up. A fresh
one that learns all that still holds costs more and has neither. The adapter's parent is still the
incumbent: what was learned, retired and can be rolled back follows from that, not from weights.
"""

from itertools import takewhile

from sqlmodel import Session, col, select

from feedback.settings import PROJECT
from trainer import registry
from trainer.models import Round
from trainer.settings import Plan

COUNT = "rebased"
"""In a round's counts: why it started afresh."""
REFUSALS = 2
"""So many in a row, by the gate and on the same incumbent, are more than bad luck."""


def reason(session: Session, row: Round, plan: Plan) -> str | None:
    """Return why this round starts afresh, or None. The same whenever it is asked.

    Args:
        session: of the store.
        row: the round, which is open.
        plan: says after how many rounds.
    """
    if not plan.rebase_after_rounds or row.incumbent_id is None:
        return None
    rounds = rounds_since(session, row.incumbent_id)
    if rounds >= plan.rebase_after_rounds:
        return f"{rounds} round(s) have made the adapter what it is"
    query = select(Round).where(
        Round.project_id == PROJECT,
        col(Round.id) < row.id,
        col(Round.state).in_(("promoted", "refused", "abstained")),
    )
    last = session.exec(query.order_by(col(Round.id).desc()).limit(REFUSALS)).all()
    refused = takewhile(
        lambda each: (
            each.state == "refused"
            and each.incumbent_id == row.incumbent_id
            # One that already tried would say the same again.
            and COUNT not in each.counts
        ),
        last,
    )
    if sum(1 for _ in refused) == REFUSALS:
        return f"the gate refused {REFUSALS} rounds in a row"
    return None


def rounds_since(session: Session, adapter_id: str) -> int:
    """Return how many rounds made an adapter what it is, since it was last fresh."""
    count = 0
    for adapter in registry.lineage(session, adapter_id):
        count += 1
        made = session.get(Round, adapter.round_id) if adapter.round_id else None
        if made is not None and COUNT in made.counts:
            break
    return count


def afresh(session: Session) -> set[str]:
    """Return the ids of the rounds that started from a fresh adapter."""
    query = select(Round.id, Round.counts).where(Round.project_id == PROJECT)
    return {name for name, counts in session.exec(query) if COUNT in counts}


def training_plan(plan: Plan) -> Plan:
    """Return the plan as a round trains by it that starts afresh.

    It passes over its material more often, goes all of the way, since there is no way from the
    previous adapter to this one, and is not held to what the base model says.
    """
    return plan.model_copy(
        update={
            "epochs": max(plan.epochs, plan.rebase_epochs),
            "step_share": 1.0,
            "replay_kl_weight": 0.0,
        }
    )
