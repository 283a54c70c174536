"""``/v1/rounds/{id}/pairs``: answers before and after a round, judged blind."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from serving import pair_desk
from serving.auth import audit, require
from serving.context import AsReviewer, Parts
from trainer import round as rounds
from trainer.pairs import Choice

router = APIRouter(tags=["rounds"])


class PairVerdict(BaseModel):
    """The body of a verdict."""

    model_config = ConfigDict(extra="forbid")

    verdict: Choice = Field(description="left, right, tie or both_bad.")


@router.get("/v1/rounds/{round_id}/pairs")
def index(round_id: str, parts: Parts, who: AsReviewer, reveal: bool = False) -> dict[str, Any]:
    """List the prompts that candidate and incumbent answer differently.

    Until judging has ended the answers are `left` and `right`, as the caller judges them; `reveal`
    names them before, for an admin, who then judges this round no more.
    """
    if reveal:
        require(who, "admin")
    with parts.store.session(write=reveal) as session:
        row = rounds.get(session, round_id)
        found = pair_desk.pairs(session, row, reviewer=who.actor, reveal=reveal)
        session.commit()
    return found


@router.get("/v1/rounds/{round_id}/pairs/next")
def following(round_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Show the next pair that the caller has not judged; `pair` is null where there is none."""
    with parts.store.session() as session:
        row = rounds.get(session, round_id)
        return pair_desk.following(session, row, reviewer=who.actor)


@router.post("/v1/rounds/{round_id}/pairs/{pair_id}/verdict")
def decide(
    round_id: str, pair_id: str, body: PairVerdict, parts: Parts, who: AsReviewer
) -> dict[str, Any]:
    """Say which answer is better; the caller's last word counts until judging has ended."""
    return _decide(parts, who.actor, round_id, pair_id, body.verdict)


@router.delete("/v1/rounds/{round_id}/pairs/{pair_id}/verdict")
def undo(round_id: str, pair_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Take the caller's verdict back."""
    return _decide(parts, who.actor, round_id, pair_id, None)


def _decide(
    parts: Parts, actor: str, round_id: str, pair_id: str, choice: Choice | None
) -> dict[str, Any]:
    with parts.store.session(write=True) as session:
        row = rounds.get(session, round_id)
        done = pair_desk.decide(session, row, pair_id, reviewer=actor, choice=choice)
        # Which side is said nowhere but in the verdict: the log is read while others judge.
        action = "round.pair.undo" if choice is None else "round.pair.verdict"
        audit(session, actor=actor, action=action, subject=pair_id)
        session.commit()
    return done
