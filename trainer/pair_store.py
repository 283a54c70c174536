"""Pairs and verdicts in the database: kept with the round, shown to one reviewer, decided, undone.

A reviewer is told neither whose answer is whose nor what others said, until judging has ended. Knows
no HTTP, no statistics and no gate.
"""

import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import delete, or_, update
from sqlmodel import Session, col, select

from feedback.errors import Conflict, NotFound
from feedback.forget import FORGOTTEN, parts
from feedback.ids import new_ids
from feedback.models import Exchange, Feedback
from feedback.privacy import redacted_json
from feedback.settings import PROJECT, FeedbackSettings
from trainer import pairs, rehearsal, replay
from trainer.examples import turns
from trainer.models import PairVerdict, PastExample, Round, RoundPair
from trainer.pair_answers import Asked
from trainer.pairs import Choice, Pair, Tally, Told
from trainer.settings import Plan

GRACE_SECONDS = 60.0
"""Verdicts can be changed for so long after the last one that was needed: people press wrong keys."""
DAY_SECONDS = 86_400.0
_LOOKED_AT = 20
"""So many times as many live prompts are read as are wanted, to choose from by chance."""


@dataclass(frozen=True)
class Judging:
    """How far the judging of a round's pairs is.

    Attributes:
        pairs: that can be judged or have been.
        judged: of them, those with a verdict.
        needed: how many more need one.
        ended: whether verdicts are taken no longer.
        complete: whether it ended since enough pairs have one.
    """

    pairs: int
    judged: int
    needed: int
    ended: bool
    complete: bool


def write(session: Session, round_: Round, chosen: Sequence[Pair]) -> None:
    """Keep a round's pairs. The caller commits, with the verdict."""
    now = time.time()
    for name, pair in zip(new_ids("pair", len(chosen)), chosen, strict=True):
        session.add(
            RoundPair(
                id=name,
                round_id=round_.id,
                source=pair.source,
                suite=pair.suite,
                item_id=pair.item_id,
                cluster=pair.cluster,
                messages=[{**message} for message in pair.messages],
                incumbent_answer=pair.incumbent_answer,
                candidate_answer=pair.candidate_answer,
                secret=secrets.token_hex(16),
                created_at=now,
            )
        )


def of_round(session: Session, round_id: str) -> list[RoundPair]:
    """Return a round's pairs, as they were chosen."""
    query = select(RoundPair).where(RoundPair.project_id == PROJECT, RoundPair.round_id == round_id)
    return list(session.exec(query.order_by(col(RoundPair.id))))


def verdicts(session: Session, round_id: str) -> list[PairVerdict]:
    """Return every verdict on a round's pairs, oldest first."""
    query = select(PairVerdict).where(
        PairVerdict.project_id == PROJECT, PairVerdict.round_id == round_id
    )
    return list(
        session.exec(
            query.order_by(
                col(PairVerdict.decided_at), col(PairVerdict.pair_id), col(PairVerdict.reviewer)
            )
        )
    )


def told(session: Session, round_id: str) -> list[Told]:
    """Return every verdict as it is counted."""
    clusters = {row.id: row.cluster for row in of_round(session, round_id)}
    return [
        # ck_pair_verdict holds the choice
        Told(
            row.pair_id,
            clusters[row.pair_id],
            row.reviewer,
            row.candidate_left,
            cast(Choice, row.verdict),
        )
        for row in verdicts(session, round_id)
    ]


def judging(
    session: Session, round_: Round, *, now_seconds: float, grace_seconds: float = GRACE_SECONDS
) -> Judging:
    """Return how far the judging of a round is.

    It ends a moment after enough pairs have a verdict, or when its days are over. What is counted
    is pairs, never what was said of them: a look at the verdicts that could end it earlier would
    be one of many looks, and each may err.

    Args:
        session: to read with.
        round_: whose plan says how many are needed, and for how long.
        now_seconds: Unix seconds.
        grace_seconds: how long after the last verdict.
    """
    rows = of_round(session, round_.id)
    if not rows:
        return Judging(0, 0, 0, ended=True, complete=False)
    said = verdicts(session, round_.id)
    judged = {row.pair_id for row in said}
    open_ = [row for row in rows if row.messages or row.id in judged]
    needed = pairs.still_needed(len(judged), len(open_), int(_asked(round_, "gate_pairs_needed")))
    last = max((row.decided_at for row in said), default=0.0)
    complete = bool(open_) and not needed and now_seconds - last >= grace_seconds
    since = min(row.created_at for row in rows)
    # A round that waited and does no more has counted them, or will not.
    counted = round_.state != "pending" and any(
        rule["name"] == "reviewed-pairs" for rule in (round_.report or {}).get("rules", ())
    )
    late = now_seconds - since >= _asked(round_, "gate_pairs_days") * DAY_SECONDS
    return Judging(
        len(open_), len(judged), needed, complete or late or counted or not open_, complete
    )


def result(session: Session, round_: Round, *, seed: int = 0) -> Tally | None:
    """Return what reviewers said; None where nobody has said anything."""
    return pairs.tally(told(session, round_.id), seed=seed)


def queue(session: Session, round_id: str, reviewer: str) -> list[RoundPair]:
    """Return the pairs that a reviewer has not judged, in that reviewer's own order."""
    said = select(PairVerdict.pair_id).where(
        PairVerdict.round_id == round_id, PairVerdict.reviewer == reviewer
    )
    done = set(session.exec(said))
    left = [row for row in of_round(session, round_id) if row.id not in done and row.messages]
    return sorted(left, key=lambda row: pairs.turn(row.secret, reviewer))


def decide(
    session: Session, round_: Round, pair_id: str, *, reviewer: str, choice: Choice
) -> PairVerdict:
    """Record what a reviewer prefers; the last word counts. The caller commits.

    Raises:
        NotFound: the round has no such pair.
        Conflict: judging has ended, or the pair's prompt is kept no longer.
    """
    row = _open_pair(session, round_, pair_id)
    if not row.messages:
        raise Conflict(f"The prompt of {pair_id} is kept no longer; there is nothing to compare.")
    found = session.get(PairVerdict, (pair_id, reviewer)) or PairVerdict(
        pair_id=pair_id,
        reviewer=reviewer,
        round_id=round_.id,
        verdict=choice,
        candidate_left=pairs.candidate_left(row.secret, reviewer),
        decided_at=0.0,
    )
    found.verdict, found.decided_at = choice, time.time()
    session.add(found)
    return found


def undo(session: Session, round_: Round, pair_id: str, *, reviewer: str) -> None:
    """Take a reviewer's verdict back. The caller commits.

    Raises:
        NotFound: the round has no such pair, or the reviewer has not judged it.
        Conflict: judging has ended.
    """
    _open_pair(session, round_, pair_id)
    found = session.get(PairVerdict, (pair_id, reviewer))
    if found is None:
        raise NotFound(f"There is no verdict of yours on {pair_id}.", param="pair_id")
    session.delete(found)


def live_prompts(session: Session, settings: FeedbackSettings, plan: Plan) -> tuple[Asked, ...]:
    """Return recent conversations that nobody remarked on, as many as the plan wants.

    Args:
        session: to read with.
        settings: what is personal, and whether that matters.
        plan: how many, and the seed of the choice among the latest.
    """
    if not plan.gate_pairs_live or plan.gate_reviewed_pairs == "off":
        return ()
    query = rehearsal.unremarked().limit(plan.gate_pairs_live * _LOOKED_AT)
    rows = sorted(session.exec(query), key=lambda row: replay.place(f"{plan.seed}:{row.id}"))
    off = settings.redaction == "off"
    return tuple(
        Asked(
            row.id,
            row.person_id,
            turns(row.messages if off else redacted_json(row.messages, settings)),
        )
        for row in rows[: plan.gate_pairs_live]
    )


def erase(session: Session, names: Iterable[str], people: Sequence[str]) -> int:
    """Remove the pairs that were made of somebody's words, with their verdicts. The caller commits.

    Args:
        session: a writing session.
        names: of feedback, exchanges and past examples that are theirs.
        people: their keyed hashes.

    Returns:
        How many pairs there were.
    """
    gone = set(session.exec(select(RoundPair.id).where(col(RoundPair.cluster).in_(people))))
    for part in parts(names):
        gone.update(session.exec(select(RoundPair.id).where(col(RoundPair.item_id).in_(part))))
    for part in parts(gone):
        session.execute(delete(PairVerdict).where(col(PairVerdict.pair_id).in_(part)))
        session.execute(delete(RoundPair).where(col(RoundPair.id).in_(part)))
    return len(gone)


def empty(session: Session) -> int:
    """Empty the pairs whose prompt is kept no longer where it came from. The caller commits.

    Retention takes exchanges and feedback; a copy must not outlive them. Verdicts stay and count.

    Returns:
        How many were emptied.
    """
    query = select(RoundPair.id, RoundPair.item_id).where(
        RoundPair.project_id == PROJECT,
        # What a file or a suite holds is nobody's words, and stands alone.
        col(RoundPair.cluster).startswith("per_"),
        or_(col(RoundPair.incumbent_answer) != "", col(RoundPair.candidate_answer) != ""),
    )
    names = {name: item_id for name, item_id in session.exec(query)}
    kept = _kept(session, set(names.values()))
    gone = [name for name, item_id in names.items() if item_id not in kept]
    for part in parts(gone):
        session.execute(
            update(RoundPair)
            .where(col(RoundPair.id).in_(part))
            .values(messages=[], incumbent_answer="", candidate_answer="")
        )
    return len(gone)


def _open_pair(session: Session, round_: Round, pair_id: str) -> RoundPair:
    # Nobody counts the verdicts while one is being given.
    session.refresh(round_, with_for_update=True)
    row = session.get(RoundPair, pair_id)
    if row is None or row.project_id != PROJECT or row.round_id != round_.id:
        raise NotFound(f"Round {round_.id} has no pair {pair_id!r}.", param="pair_id")
    if judging(session, round_, now_seconds=time.time()).ended:
        raise Conflict(
            f"The judging of round {round_.id} has ended; its verdicts are counted "
            f"(`heed round pairs {round_.id}`)."
        )
    return row


def _asked(round_: Round, name: str) -> float:
    """What a round's plan says. An older release's plan as a whole may not be this one's."""
    return float(round_.plan.get(name, Plan.model_fields[name].default))


def _kept(session: Session, names: Collection[str]) -> set[str]:
    """Those whose text is kept still: said, asked, or learned from."""
    kept: set[str] = set()
    for part in parts(names):
        said = select(Feedback.id).where(col(Feedback.id).in_(part), Feedback.body_hash != "")
        asked = select(Exchange.id).where(col(Exchange.id).in_(part), Exchange.state != FORGOTTEN)
        learned = select(PastExample.id).where(col(PastExample.id).in_(part))
        for query in (said, asked, learned):
            kept.update(session.exec(query))
    return kept
