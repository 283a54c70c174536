"""``/v1/rounds/{id}/ledger``: what a round's items were under both adapters, and rehearsing them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from serving import judged_wire, wire
from serving.auth import audit
from serving.context import AsOperator, AsReviewer, Parts
from trainer import guarded, ledger
from trainer import round as rounds

router = APIRouter(tags=["rounds"])


@router.get("/v1/rounds/{round_id}/ledger")
def show(
    round_id: str,
    parts: Parts,
    who: AsReviewer,
    forgotten: bool = False,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
) -> dict[str, Any]:
    """List every item that judged a round, right or wrong before and after it."""
    settings = parts.settings
    with parts.store.session() as session:
        rounds.get(session, round_id)
        rows = ledger.of_round(session, round_id, forgotten=forgotten)
        items = guarded.items(session, settings.trainer, settings.feedback.data_dir)
        shown = rows[:limit]
        asked = ledger.prompts(session, shown, items)
    return wire.page(judged_wire.entries(shown, asked), more=len(rows) > limit)


@router.post("/v1/rounds/{round_id}/ledger/replay")
def replay(round_id: str, parts: Parts, who: AsOperator) -> dict[str, Any]:
    """Put what a round forgot back into replay, until a round with it is promoted."""
    settings = parts.settings
    with parts.store.session(write=True) as session:
        rounds.get(session, round_id)
        rows = ledger.ask_replay(session, round_id)
        audit(session, actor=who.actor, action="ledger.replay", subject=round_id)
        session.commit()
    with parts.store.session() as session:
        items = guarded.items(session, settings.trainer, settings.feedback.data_dir)
        asked = ledger.prompts(session, rows, items)
    return wire.page(judged_wire.entries(rows, asked))
