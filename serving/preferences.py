"""Which version's answers people preferred to which other's, ranked. Knows no route and no screen."""

from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from feedback.columns import columns, here
from feedback.models import Exchange, Feedback, Receipt
from trainer.bradley_terry import strengths

MOST = 50_000
"""The newest preferences are ranked by."""


def preferences(session: Session) -> list[tuple[str, str, str]]:
    """Return (preferred version, passed over, person) of the newest preferences, oldest first.

    Args:
        session: a session that only reads.
    """
    won, lost = aliased(Exchange), aliased(Exchange)
    query = (
        columns(
            Feedback.exchange_id,
            Feedback.preferred_over,
            Feedback.person_id,
            col(won.adapter_id).label("won"),
            col(lost.adapter_id).label("lost"),
        )
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .join(won, col(won.id) == Feedback.exchange_id)
        .join(lost, col(lost.id) == Feedback.preferred_over)
        .where(
            here(Receipt.project_id),
            col(Receipt.teaches),
            col(Receipt.status).not_in(["withdrawn", "forgotten"]),
            col(Feedback.preferred_over).is_not(None),
            col(won.adapter_id) != col(lost.adapter_id),
        )
        .order_by(col(Receipt.feedback_id).desc())
        .limit(MOST)
    )
    found: dict[tuple[str, str, str], tuple[str, str, str]] = {}
    for row in session.connection().execute(query):
        # Of one pair of answers, what a person said last.
        first, second = sorted((row.exchange_id, row.preferred_over))
        found.setdefault((first, second, row.person_id), (row.won, row.lost, row.person_id))
    return list(found.values())[::-1]


def ranking(session: Session, reference: str | None = None) -> dict[str, Any]:
    """Return every version that was compared, the best first, as plain data.

    Args:
        session: a session that only reads.
        reference: what the others are compared with; by default what was compared most often.
    """
    rows = strengths(preferences(session), reference=reference)
    against = next((each.name for each in rows if each.lower == each.upper), None)
    return {
        "object": "adapter.ranking",
        "reference": against,
        "data": [{"id": each.name, **_without_name(asdict(each))} for each in rows],
    }


def _without_name(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "name"}
