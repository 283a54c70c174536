"""Reports for whoever runs Heed: what signals mean here, and whose word counts less. No HTTP, no screen.

Names are never in clear: an account is shown by the first letters of its keyed hash.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col

from feedback import signals_labels
from feedback import trust as policy
from feedback.claims import waiting
from feedback.columns import columns
from feedback.models import Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.signals import window
from feedback.standing import Account, Standing, assess
from feedback.statements import explicit, recent

PREFIX_LENGTH = 12
"""``per_`` and eight hex digits: enough to tell accounts apart, too little to look one up by name."""
MOST_DISCOUNTED = 100
FULLY = 0.95
"""An account worth at least this is not reported as discounted."""


def signals(session: Session, settings: FeedbackSettings) -> dict[str, Any]:
    """Return what signals say of satisfaction, and how well: reliability, Brier score, AUC.

    Args:
        session: a session that only reads.
        settings: whether signals teach, and the caps.
    """
    standing = assess(recent(session), settings)
    found = signals_labels.learnt(session, settings, standing, per_signal=True)
    seen = columns(Feedback.signal, func.count()).where(
        col(Feedback.signal).is_not(None), col(Feedback.id) > window()
    )
    delivered = session.connection().execute(seen.group_by(Feedback.signal))
    return {
        "object": "feedback.signals",
        "enabled": settings.signal_labels,
        "usable": found.usable,
        "reason": found.reason or None,
        "pairs": found.pairs,
        "people": found.people,
        "satisfied": found.satisfied,
        "weight_cap": settings.signal_weight,
        "base_rate": found.base_rate,
        "base_rate_error": found.base_rate_error,
        "auc": found.auc,
        "auc_low": found.auc_low,
        "brier": found.brier,
        "brier_base": found.brier_base,
        "calibration_error": found.calibration_error,
        "reliability": [asdict(each) for each in found.bins],
        "signals": [asdict(each) for each in found.signals],
        "delivered": {name: count for name, count in sorted(map(tuple, delivered))},
    }


def trust(session: Session, settings: FeedbackSettings) -> dict[str, Any]:
    """Return how much people's words count, how noisy they are, and who was discounted, and why.

    Args:
        session: a session that only reads.
        settings: whose word counts.
    """
    standing = assess(recent(session), settings, corroborate=True)
    beyond = _beyond(session, settings)
    discounted = _discounted(standing, beyond)
    return {
        "object": "feedback.trust",
        "votes": len(standing.weighed),
        "accounts": len(standing.accounts),
        "answers": standing.answers,
        "answers_shared": standing.shared,
        "decided_by_reviewers": standing.decided,
        "typical_accuracy": standing.typical,
        "noise": {kind: asdict(noise) for kind, noise in standing.noise.items()},
        "discounted": discounted[:MOST_DISCOUNTED],
        "discounted_total": len(discounted),
    }


def _discounted(standing: Standing, beyond: Mapping[str, int]) -> list[dict[str, Any]]:
    """Everybody who counts less than fully, the most votes lost first."""
    lost: list[tuple[float, dict[str, Any]]] = []
    corrections = standing.corrections
    members = Counter(corrections.circles.values())
    for person, account in standing.accounts.items():
        reasons = _reasons(account, beyond.get(person, 0))
        record = corrections.records.get(person)
        if record is not None and corrections.log_odds(person) < 0:
            reasons.append(
                f"{record.wrong:.0f} corrections are probably wrong beside {record.right:.0f} that "
                "others or a reviewer confirmed"
            )
        if person in corrections.circles:
            others = members[corrections.circles[person]] - 1
            reasons.append(
                f"makes the same corrections as {others} other(s) more often than chance explains; "
                "a quorum counts them as one"
            )
        if reasons:
            row = {
                "account": person[:PREFIX_LENGTH],
                "weight": round(account.mean_weight, 3),
                "worth": round(account.worth, 3),
                "accuracy": round(account.accuracy, 3),
                "votes": account.votes,
                "judged": account.judged,
                "reasons": reasons,
            }
            held_back = account.votes * (1 - account.mean_weight) + beyond.get(person, 0)
            lost.append((-held_back, row))
    return [row for _, row in sorted(lost, key=lambda each: (each[0], each[1]["account"]))]


def _reasons(account: Account, beyond: int) -> list[str]:
    said = []
    if account.worth < FULLY:
        said.append(
            f"{account.wrong:.0f} of {account.judged} votes that others or a reviewer judged are "
            "probably wrong, or say nothing"
        )
    if account.refused:
        said.append(f"a reviewer refused {account.refused}")
    if account.repeats:
        said.append(f"{account.repeats} repeat what the same source said, which counts once")
    if account.young:
        said.append(f"{account.young} were said by an account that was too young")
    if account.outvoted:
        said.append(f"{account.outvoted} were outvoted on the same answer")
    if beyond:
        said.append(f"{beyond} wait: beyond one account's share of a round")
    return said


def _beyond(session: Session, settings: FeedbackSettings) -> dict[str, int]:
    """How many votes of each account would have to wait if a round came now."""
    query = (
        columns(Feedback.person_id, func.count())
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .where(*waiting(), col(Receipt.accepted_by).is_(None), explicit())
        .group_by(Feedback.person_id)
    )
    counts: Counter[str] = Counter(
        {person: number for person, number in session.connection().execute(query)}
    )
    cap = policy.cap(settings, round_size=counts.total())
    return {person: number - cap for person, number in counts.items() if number > cap}
