"""Several reviewers, blind to each other: what each says stays hidden until all have spoken.

Where all say the same it is decided; else the item goes to the lane of disagreement, where somebody
who has not judged it yet decides. How well reviewers agree is told by Cohen's κ and Krippendorff's α.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from typing import Any

from sqlmodel import Session, col, select

from feedback import privacy, reservations, review
from feedback.errors import Conflict
from feedback.models import Decision, Receipt
from feedback.review_models import ReviewDraft, ReviewItem, ReviewVerdict
from feedback.settings import PROJECT, FeedbackSettings
from feedback.words import normalised

MOST_VERDICTS = 20_000
"""The newest are compared."""
DECISIONS: tuple[Decision, ...] = ("accept", "edit", "refuse")


@dataclass(frozen=True)
class Given:
    """What came of a verdict.

    Attributes:
        receipt: of the feedback, as it is now.
        given: how many verdicts there are.
        needed: how many there have to be.
        lane: where the item is now.
        version: of the item now.
    """

    receipt: Receipt
    given: int
    needed: int
    lane: str
    version: int


def needed(settings: FeedbackSettings, feedback_id: str) -> int:
    """Return how many reviewers have to judge a piece of feedback; the same in every process."""
    if settings.review_verdicts == 1 or settings.review_verdicts_share == 0:
        return 1
    drawn = int.from_bytes(blake2b(feedback_id.encode(), digest_size=8).digest()) / 2**64
    return settings.review_verdicts if drawn < settings.review_verdicts_share else 1


def give(
    session: Session,
    settings: FeedbackSettings,
    *,
    feedback_id: str,
    decision: Decision,
    reviewer: str,
    correction: str | None = None,
    reason: str | None = None,
    version: int | None = None,
    batch: str | None = None,
    now_seconds: float | None = None,
) -> Given:
    """Take one reviewer's verdict, and decide once there are enough. The caller commits.

    Where one verdict is enough this is `review.decide`, whose arguments these are. So it is for
    what is decided already, and for ``reopen``, which asks everybody anew.

    Raises:
        NotFound, Invalid, TooLarge: as `review.decide` does.
        Conflict: as there; or this reviewer judged it already, and waits for the others or for
            somebody else to decide.
    """
    told: dict[str, Any] = {
        "feedback_id": feedback_id,
        "decision": decision,
        "reviewer": reviewer,
        "version": version,
        "batch": batch,
        "now_seconds": now_seconds,
    }
    wanted = needed(settings, feedback_id)
    receipt, feedback = review.decidable(session, feedback_id)
    item = review.listed(session, receipt, feedback)
    before = _of(session, feedback_id)
    pending = item.lane == "waiting" and wanted > 1 and decision != "reopen"
    if item.lane == "disagreement" and any(each.reviewer == reviewer for each in before):
        raise Conflict(
            f"You and others disagree about {feedback_id}; somebody who has not judged it decides.",
            param="feedback_id",
        )
    if not pending:
        done = review.decide(session, settings, correction=correction, reason=reason, **told)
        return Given(done, len(before), wanted, item.lane, item.version)
    review.check(settings, feedback, decision=decision, correction=correction, reason=reason)
    now = time.time() if now_seconds is None else now_seconds
    reservations.refuse_others(item, reviewer, now)
    review.refuse_late(session, item, version)
    if any(each.reviewer == reviewer for each in before):
        raise Conflict(
            f"Your verdict on {feedback_id} is given, and waits for others; withdraw it "
            f"(POST /v1/reviews/{feedback_id}/undo) to give another.",
            param="feedback_id",
        )
    mine = ReviewVerdict(
        feedback_id=feedback_id,
        reviewer=reviewer,
        decision=decision,
        correction=privacy.stored_text(correction, settings),
        reason=privacy.stored_text(reason, settings),
        at=time.time(),
    )
    session.add(mine)
    said = [*before, mine]
    if len(said) < wanted:
        _settle(session, item, reviewer)
        return Given(receipt, len(said), wanted, item.lane, item.version)
    if len({_meaning(each) for each in said}) == 1:
        done = review.decide(
            session, settings, correction=correction, reason=reason, verdict_of=reviewer, **told
        )
        return Given(done, len(said), wanted, item.lane, item.version)
    item.lane = "disagreement"
    item.version += 1
    _settle(session, item, reviewer)
    return Given(receipt, len(said), wanted, item.lane, item.version)


def withdraw(session: Session, feedback_id: str, *, reviewer: str) -> bool:
    """Take one's own verdict back where nothing was decided by it yet. The caller commits.

    Returns:
        Whether there was one to take back.

    Raises:
        NotFound: it never came to review.
    """
    item = reservations.item(session, feedback_id, lock=True)
    mine = session.get(ReviewVerdict, (feedback_id, reviewer))
    if mine is None or item.lane not in ("waiting", "disagreement"):
        return False
    session.delete(mine)
    if item.lane == "disagreement":
        item.lane = "waiting"
        item.version += 1
        session.add(item)
    session.flush()
    return True


def shown(
    session: Session, items: Sequence[ReviewItem], *, reviewer: str
) -> dict[str, list[ReviewVerdict]]:
    """Return the verdicts that a reviewer may see: their own, and of what is complete everybody's."""
    lanes = {item.feedback_id: item.lane for item in items}
    query = select(ReviewVerdict).where(col(ReviewVerdict.feedback_id).in_(lanes))
    found: dict[str, list[ReviewVerdict]] = defaultdict(list)
    for each in session.exec(query.order_by(col(ReviewVerdict.at))):
        if lanes[each.feedback_id] != "waiting" or each.reviewer == reviewer:
            found[each.feedback_id].append(each)
    return found


def agreement(session: Session) -> dict[str, Any]:
    """Return how well reviewers agree on what several of them judged without seeing each other.

    κ is Cohen's (1960, *A coefficient of agreement for nominal scales*), for every two reviewers; α
    is Krippendorff's (2004, *Content analysis*), nominal, which takes any number of reviewers and
    verdicts that are missing. Both are None where nothing varies, or too little was judged by two.
    """
    rows = session.exec(
        select(ReviewVerdict.feedback_id, ReviewVerdict.reviewer, ReviewVerdict.decision)
        .join(ReviewItem, col(ReviewItem.feedback_id) == ReviewVerdict.feedback_id)
        .where(ReviewVerdict.project_id == PROJECT, ReviewItem.lane != "waiting")
        .order_by(col(ReviewVerdict.feedback_id).desc(), col(ReviewVerdict.reviewer))
        .limit(MOST_VERDICTS)
    ).all()
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for feedback_id, reviewer, decision in rows:
        said[feedback_id][reviewer] = decision
    shared = {name: each for name, each in said.items() if len(each) > 1}
    reviewers = sorted({who for each in shared.values() for who in each})
    alike = sum(len(set(each.values())) == 1 for each in shared.values())
    return {
        "object": "review.agreement",
        "items": len(shared),
        "reviewers": reviewers,
        "alike": alike,
        "share_alike": alike / len(shared) if shared else None,
        "alpha": _alpha(list(shared.values()), reviewers),
        "pairs": [
            pair for two in combinations(reviewers, 2) if (pair := _pair(two, shared.values()))
        ],
    }


def _of(session: Session, feedback_id: str) -> list[ReviewVerdict]:
    query = select(ReviewVerdict).where(ReviewVerdict.feedback_id == feedback_id)
    return list(session.exec(query.order_by(col(ReviewVerdict.at))))


def _settle(session: Session, item: ReviewItem, reviewer: str) -> None:
    """The reviewer is done with an item that is not decided."""
    item.reserved_by = item.reserved_until = None
    session.add(item)
    draft = session.get(ReviewDraft, (item.feedback_id, reviewer))
    if draft is not None:
        session.delete(draft)
    session.flush()


def _meaning(verdict: ReviewVerdict) -> tuple[str, str]:
    """Edits that differ in case and punctuation alone say the same."""
    return verdict.decision, normalised(verdict.correction or "")


def _alpha(said: Sequence[dict[str, str]], reviewers: Sequence[str]) -> float | None:
    if len({decision for each in said for decision in each.values()}) < 2:
        return None  # nobody ever said anything else: agreement by chance would be perfect, too
    import krippendorff
    import numpy as np

    numbers: dict[str, float] = {decision: float(at) for at, decision in enumerate(DECISIONS)}
    told = np.array(
        [[numbers.get(each.get(who, ""), np.nan) for each in said] for who in reviewers]
    )
    return float(krippendorff.alpha(reliability_data=told, level_of_measurement="nominal"))


def _pair(two: tuple[str, str], said: Any) -> dict[str, Any] | None:
    both = [(each[two[0]], each[two[1]]) for each in said if two[0] in each and two[1] in each]
    if not both:
        return None
    kappa = None
    if len({decision for each in both for decision in each}) > 1:
        from sklearn.metrics import cohen_kappa_score

        kappa = float(cohen_kappa_score(*zip(*both, strict=True)))
    return {
        "reviewers": list(two),
        "items": len(both),
        "share_alike": sum(one == other for one, other in both) / len(both),
        "kappa": kappa,
    }
