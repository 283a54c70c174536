"""What the client said of the exchanges that feedback is about: tags and group. Reads only."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import Session, col, select

from feedback.models import Exchange, Feedback

_AT_ONCE = 500


def tags(session: Session, feedback_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the tags of each feedback's exchange, its group under ``group``; of none, nothing."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(feedback_ids), _AT_ONCE):  # databases bound a query's parameters
        rows = session.exec(
            select(Feedback.id, Exchange.tags, Exchange.group)
            .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
            .where(col(Feedback.id).in_(feedback_ids[start : start + _AT_ONCE]))
        )
        for feedback_id, said, group in rows:
            found[feedback_id] = {**(said or {}), **({"group": group} if group else {})}
    return found
