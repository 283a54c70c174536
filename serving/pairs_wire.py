"""How pairs of answers look on the wire: blind while they are judged, open afterwards.

What is blind names no model, no adapter, no source and no verdict of anybody else, and its order
follows the sides alone.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlmodel import Session

from trainer import pair_store
from trainer.models import PairVerdict, Round, RoundPair
from trainer.pair_store import Judging
from trainer.pairs import Tally, candidate_left


def blind(row: RoundPair, reviewer: str, verdict: str | None = None) -> dict[str, Any]:
    """Return a pair as one reviewer may see it before judging has ended."""
    answers = (row.candidate_answer, row.incumbent_answer)
    left, right = answers if candidate_left(row.secret, reviewer) else answers[::-1]
    return {
        "id": row.id,
        "object": "round.pair",
        "round": row.round_id,
        "messages": row.messages,
        "left": left,
        "right": right,
        "verdict": verdict,
    }


def revealed(row: RoundPair, verdicts: Iterable[PairVerdict]) -> dict[str, Any]:
    """Return a pair with whose answer is whose, where it comes from, and what everybody said."""
    return {
        "id": row.id,
        "object": "round.pair",
        "round": row.round_id,
        "source": row.source,
        "suite": row.suite or None,
        "item": row.item_id,
        "messages": row.messages,
        "incumbent": row.incumbent_answer,
        "candidate": row.candidate_answer,
        "verdicts": [
            {
                "reviewer": each.reviewer,
                "verdict": each.verdict,
                "prefers": _preferred(each),
                "candidate_side": "left" if each.candidate_left else "right",
                "at": each.decided_at,
            }
            for each in verdicts
        ],
    }


def progress(judging: Judging) -> dict[str, Any]:
    """Return how far judging is, which tells nothing of what was said."""
    return {
        "pairs": judging.pairs,
        "judged": judging.judged,
        "needed": judging.needed,
        "ended": judging.ended,
    }


def summary(session: Session, row: Round, *, whole: bool = False) -> dict[str, Any]:
    """Return how far the judging of a round is and, once it has ended, what came of it.

    Args:
        session: to read with.
        row: the round.
        whole: the result also before judging has ended.
    """
    judging = pair_store.judging(session, row, now_seconds=time.time())
    result = None
    if judging.judged and (judging.ended or whole):
        result = tally(pair_store.result(session, row, seed=int(row.plan.get("seed", 0))))
    return {**progress(judging), "result": result}


def tally(found: Tally | None) -> dict[str, Any] | None:
    """Return what reviewers said, with a sentence for people."""
    return None if found is None else {**asdict(found), "sentence": sentence(found)}


def sentence(found: Tally) -> str:
    """Return what reviewers said in plain English."""
    neither = found.ties + found.both_bad
    said = (
        f"{_count(found.verdicts, 'verdict')} of {_count(found.reviewers, 'reviewer')} on "
        f"{_count(found.pairs, 'pair')}: {found.wins} for the candidate, {found.losses} for the "
        f"incumbent, {neither} for neither ({found.ties} ties, {found.both_bad} both bad). Win rate "
        f"{found.win_rate:.0%} (95%: {found.win_low:.0%} to {found.win_high:.0%}), sign test "
        f"p = {found.sign_p:.3g}."
    )
    if found.left_share is None:
        return said
    return (
        f"{said} The left answer won {found.left_share:.0%} of the time (95%: "
        f"{found.left_low:.0%} to {found.left_high:.0%})."
    )


def by_pair(verdicts: Sequence[PairVerdict]) -> dict[str, list[PairVerdict]]:
    """Return verdicts by their pair's id."""
    found: dict[str, list[PairVerdict]] = {}
    for each in verdicts:
        found.setdefault(each.pair_id, []).append(each)
    return found


def _preferred(verdict: PairVerdict) -> str:
    if verdict.verdict not in ("left", "right"):
        return verdict.verdict
    return "candidate" if (verdict.verdict == "left") == verdict.candidate_left else "incumbent"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
