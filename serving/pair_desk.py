"""A reviewer's desk: the pairs of a round as that reviewer may see them. Knows no HTTP and no terminal.

Whoever has had the answers named judges that round no more.
"""

import time
from typing import Any

from sqlmodel import Session

from feedback.errors import Conflict
from serving import auth, pairs_wire
from trainer import pair_store, pending
from trainer.models import Round
from trainer.pairs import Choice

REVEAL = "round.pairs.reveal"
"""What the audit log calls a look at who said what before judging has ended."""


def pairs(session: Session, row: Round, *, reviewer: str, reveal: bool = False) -> dict[str, Any]:
    """Return all pairs of a round, as a list, with how far judging is.

    Until judging has ended they are as the reviewer sees them, with that reviewer's own verdicts.

    Args:
        session: of the store; a writing one where `reveal` is set.
        row: the round.
        reviewer: who looks.
        reveal: name whose answer is whose before judging has ended. It is written down, and the
            caller commits.
    """
    judging = pair_store.judging(session, row, now_seconds=time.time())
    rows = pair_store.of_round(session, row.id)
    said = pairs_wire.by_pair(pair_store.verdicts(session, row.id))
    if judging.ended or reveal:
        if not judging.ended:
            auth.audit(session, actor=reviewer, action=REVEAL, subject=row.id)
        data = [pairs_wire.revealed(each, said.get(each.id, ())) for each in rows]
    else:
        own = {
            name: each.verdict
            for name, given in said.items()
            for each in given
            if each.reviewer == reviewer
        }
        data = [
            pairs_wire.blind(each, reviewer, own.get(each.id)) for each in rows if each.messages
        ]
    return {
        "object": "list",
        "data": data,
        "has_more": False,
        "next": None,
        **pairs_wire.summary(session, row, whole=reveal),
    }


def following(session: Session, row: Round, *, reviewer: str) -> dict[str, Any]:
    """Return the next pair that a reviewer has not judged, or None in its place.

    Raises:
        Conflict: the reviewer has seen whose answer is whose.
    """
    _unbiased(session, row, reviewer)
    judging = pair_store.judging(session, row, now_seconds=time.time())
    left = [] if judging.ended else pair_store.queue(session, row.id, reviewer)
    return {
        "object": "round.pair.next",
        "pair": pairs_wire.blind(left[0], reviewer) if left else None,
        "left_to_judge": len(left),
        **pairs_wire.progress(judging),
    }


def decide(
    session: Session, row: Round, pair_id: str, *, reviewer: str, choice: Choice | None
) -> dict[str, Any]:
    """Record a verdict, or take one back where `choice` is None. The caller commits.

    Raises:
        NotFound: the round has no such pair, or there is no verdict to take back.
        Conflict: judging has ended, or the reviewer has seen whose answer is whose.
    """
    _unbiased(session, row, reviewer)
    if choice is None:
        pair_store.undo(session, row, pair_id, reviewer=reviewer)
    else:
        pair_store.decide(session, row, pair_id, reviewer=reviewer, choice=choice)
    session.flush()
    if row.state == "pending":
        pending.look(session)  # so that everybody reads how many are still needed
    judging = pair_store.judging(session, row, now_seconds=time.time())
    return {
        "id": pair_id,
        "object": "round.pair.verdict",
        "round": row.id,
        "verdict": choice,
        "left_to_judge": len(pair_store.queue(session, row.id, reviewer)),
        **pairs_wire.progress(judging),
    }


def _unbiased(session: Session, row: Round, reviewer: str) -> None:
    if auth.audited(session, actor=reviewer, action=REVEAL, subject=row.id):
        raise Conflict(
            f"You have looked at whose answers are whose in round {row.id}; somebody else judges it."
        )
