"""Answers that a person passed over for one they liked. Knows no weight and no example."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, literal_column
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from feedback.columns import columns
from feedback.ids import portions
from feedback.models import Exchange

MOST = 20_000
"""So many are read: somebody may ask one thing ten thousand times."""


def asked_before() -> ColumnElement[bool]:
    """Whether the person whose exchange it is was answered the same prompt before."""
    earlier = aliased(Exchange)
    return exists().where(*_before(earlier, Exchange))


def passed_over(
    session: Session, again: Mapping[str, str], named: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return the answers that somebody liked less than the one that they liked, oldest first.

    Named with `preferred_over`, or given earlier to the same person for the same prompt and then
    regenerated: asking again and liking the second answer is a comparison.

    Args:
        session: one that reads.
        again: by feedback id, the exchange that was liked and had been `asked_before`.
        named: by feedback id, the exchange that a person named as worse.

    Returns:
        By feedback id: distinct texts, which may be equal to the answer that was liked.
    """
    liked, earlier = aliased(Exchange), aliased(Exchange)
    text = col(earlier.choices)[(0, "text")].as_string().label("text")
    rows: list[Any] = []
    for some in portions(again.values()):
        regenerated = (
            columns(col(liked.id).label("liked_id"), earlier.created_at, earlier.id, text)
            .select_from(liked)
            .join(earlier, and_(*_before(earlier, liked)))
            .where(col(liked.id).in_(some))
            .limit(MOST - len(rows))
        )
        rows += session.connection().execute(regenerated).all()
    texts: dict[str, list[str]] = defaultdict(list)
    # Sorted here: a database that sorts reads everything first, however few it may return.
    for row in sorted(rows, key=lambda row: (row.created_at, row.id)):
        texts[row.liked_id].append(row.text)
    worse: dict[str, str] = {}
    for some in portions(named.values()):
        answers = columns(earlier.id, text).where(col(earlier.id).in_(some))
        worse |= {row.id: row.text for row in session.connection().execute(answers)}
    found: dict[str, list[str]] = defaultdict(list)
    for feedback_id, exchange_id in again.items():
        found[feedback_id] += texts[exchange_id]
    for feedback_id, exchange_id in named.items():
        if exchange_id in worse:
            found[feedback_id].append(worse[exchange_id])
    return {feedback_id: tuple(dict.fromkeys(texts)) for feedback_id, texts in found.items()}


def _before(earlier: type[Exchange], now: type[Exchange]) -> tuple[ColumnElement[bool], ...]:
    return (
        col(earlier.project_id) == col(now.project_id),
        col(earlier.prompt_hash) == col(now.prompt_hash),
        col(earlier.person_id) == col(now.person_id),
        col(earlier.created_at) < col(now.created_at),
        # Nobody passed over what never came.
        col(earlier.state) != literal_column("'failed'"),
    )
