"""Answers that a person passed over for one they liked. Knows no weight and no example."""

from collections import defaultdict

from sqlalchemy import literal_column
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from feedback.claims import held_by
from feedback.columns import columns
from feedback.models import Exchange, Feedback, Receipt
from feedback.statements import MIDDLING

MOST = 20_000
"""So many are read: somebody may ask one thing ten thousand times."""


def passed_over(session: Session, round_id: str) -> dict[str, tuple[str, ...]]:
    """Return, for what a round holds, the answers that somebody liked less, oldest first.

    Named with `preferred_over`, or given earlier to the same person for the same prompt and then
    regenerated: asking again and liking the second answer is a comparison.

    Returns:
        By feedback id: distinct texts, which may be equal to the answer that was liked.
    """
    liked, earlier = aliased(Exchange), aliased(Exchange)
    held = (
        columns(
            Feedback.id,
            earlier.created_at,
            col(earlier.id).label("earlier_id"),
            col(earlier.choices)[(0, "text")].as_string().label("text"),
        )
        .select_from(Receipt)
        .join(Feedback, col(Feedback.id) == Receipt.feedback_id)
        .where(*held_by(round_id))
    )
    regenerated = (
        held.join(liked, col(liked.id) == Feedback.exchange_id)
        .join(
            earlier,
            (col(earlier.project_id) == col(liked.project_id))
            & (col(earlier.prompt_hash) == col(liked.prompt_hash))
            & (col(earlier.person_id) == col(liked.person_id))
            & (col(earlier.created_at) < col(liked.created_at))
            # Nobody passed over what never came.
            & (col(earlier.state) != literal_column("'failed'")),
        )
        .where(col(Feedback.rating) > MIDDLING, col(liked.person_id) == col(Feedback.person_id))
    )
    named = held.join(earlier, col(earlier.id) == Feedback.preferred_over)
    texts: dict[str, list[str]] = defaultdict(list)
    for query in (regenerated, named):
        # Sorted here: a database that sorts reads everything first, however few it may return.
        rows = session.connection().execute(query.limit(MOST)).all()
        for row in sorted(rows, key=lambda row: (row.created_at, row.earlier_id)):
            texts[row.id].append(row.text)
    return {feedback_id: tuple(dict.fromkeys(found)) for feedback_id, found in texts.items()}
