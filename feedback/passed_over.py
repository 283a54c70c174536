"""Answers that a person passed over for one they liked. Knows no weight and no example."""

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import literal_column
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from feedback.claims import held_by, same_feedback
from feedback.columns import columns
from feedback.ids import portions
from feedback.models import Exchange, Feedback, Receipt
from feedback.statements import MIDDLING

MOST = 20_000
"""So many are read: somebody may ask one thing ten thousand times."""


def passed_over(
    session: Session, round_id: str, named: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return, for what a round holds, the answers that somebody liked less, oldest first.

    Named with `preferred_over`, or given earlier to the same person for the same prompt and then
    regenerated: asking again and liking the second answer is a comparison.

    Args:
        session: one that reads.
        round_id: who holds it.
        named: by feedback id, the exchange that a person named as worse.

    Returns:
        By feedback id: distinct texts, which may be equal to the answer that was liked.
    """
    liked, earlier = aliased(Exchange), aliased(Exchange)
    text = col(earlier.choices)[(0, "text")].as_string().label("text")
    regenerated = (
        columns(Feedback.id, earlier.created_at, col(earlier.id).label("earlier_id"), text)
        .select_from(Receipt)
        .join(Feedback, same_feedback())
        .join(liked, col(liked.id) == Feedback.exchange_id)
        .join(
            earlier,
            (col(earlier.project_id) == col(liked.project_id))
            & (col(earlier.prompt_hash) == col(liked.prompt_hash))
            & (col(earlier.person_id) == col(liked.person_id))
            & (col(earlier.created_at) < col(liked.created_at))
            # Nobody passed over what never came.
            & (col(earlier.state) != literal_column("'failed'")),
        )
        .where(
            *held_by(round_id),
            col(Feedback.rating) > MIDDLING,
            col(liked.person_id) == col(Feedback.person_id),
        )
        .limit(MOST)
    )
    rows = session.connection().execute(regenerated).all()
    texts: dict[str, list[str]] = defaultdict(list)
    # Sorted here: a database that sorts reads everything first, however few it may return.
    for row in sorted(rows, key=lambda row: (row.created_at, row.earlier_id)):
        texts[row.id].append(row.text)
    worse: dict[str, str] = {}
    for some in portions(named.values()):
        answers = columns(earlier.id, text).where(col(earlier.id).in_(some))
        worse |= {row.id: row.text for row in session.connection().execute(answers)}
    for feedback_id, exchange_id in named.items():
        if exchange_id in worse:
            texts[feedback_id].append(worse[exchange_id])
    return {feedback_id: tuple(dict.fromkeys(found)) for feedback_id, found in texts.items()}
