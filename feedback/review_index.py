"""Brings the rows of the review queue in step with what was said: words, language, reasons.

A row is made by the database the moment feedback comes to review, and is `stale` until it has been
here. Knows no order and no reviewer.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast

from sqlalchemy import delete, true
from sqlmodel import Session, col

from feedback.claims import TEXT
from feedback.columns import as_text, columns, decoded
from feedback.ids import portions
from feedback.languages import language
from feedback.models import Exchange, Feedback
from feedback.review_models import (
    ReviewAction,
    ReviewComment,
    ReviewDraft,
    ReviewItem,
    ReviewTag,
    ReviewVerdict,
)
from feedback.review_search import indexed
from feedback.rows import insert_rows, update_rows
from feedback.settings import PROJECT
from feedback.text import questions
from feedback.words import runs

AT_ONCE = 500
ITEM = cast(str, ReviewItem.__tablename__)
KEPT: tuple[Any, ...] = (
    ReviewAction,
    ReviewDraft,
    ReviewVerdict,
    ReviewComment,
    ReviewTag,
    ReviewItem,
)
"""The tables that hold something of a piece of feedback for reviewers."""
MOST_CHARACTERS = 1_000
"""Of a text, when it is asked what it says again."""


def is_stale(session: Session) -> bool:
    """Whether there is anything for `refresh` to do."""
    found = columns(ReviewItem.feedback_id).where(col(ReviewItem.stale) == true()).limit(1)
    return session.connection().execute(found).first() is not None


def refresh(session: Session, *, most: int = AT_ONCE) -> int:
    """Work out what stale rows are found by, oldest first. The caller commits.

    Args:
        session: a writing session.
        most: so many at a time; the price of one is some 0.3 ms.

    Returns:
        How many there were; fewer than `most` when nothing is left.
    """
    query = (
        columns(
            ReviewItem.feedback_id,
            ReviewItem.kind,
            Feedback.choice,
            Feedback.correction,
            as_text(Feedback.body),
            as_text(Exchange.messages),
            as_text(Exchange.choices),
        )
        .select_from(ReviewItem)
        .join(Feedback, col(Feedback.id) == ReviewItem.feedback_id)
        .join(Exchange, col(Exchange.id) == Feedback.exchange_id, isouter=True)
        .where(col(ReviewItem.stale) == true())
        .order_by(col(ReviewItem.feedback_id))
        .limit(most)
        .with_for_update(of=ReviewItem, skip_locked=True)
    )
    rows = session.connection().execute(query).all()
    written, reasons = [], []
    for row in rows:
        body, asked, answer = _parts(row)
        given = [str(each) for each in body.get("reasons") or ()]
        said = _said(body)
        words = indexed([*said, *given, answer, *reversed(asked)])
        spoken = language(asked[-1] if asked else " ".join(said))
        name = cluster_name(row.kind, wording(asked, said or [answer, str(body.get("rating"))]))
        written.append((row.feedback_id, words, spoken, name, False))
        reasons += [(row.feedback_id, "reason", reason, PROJECT) for reason in dict.fromkeys(given)]
    kinds = {"words": TEXT, "language": TEXT, "cluster": TEXT, "stale": "boolean"}
    connection = session.connection()
    update_rows(connection, ITEM, "feedback_id", kinds, written)
    table = cast(str, ReviewTag.__tablename__)
    names = ("feedback_id", "kind", "name", "project_id")
    insert_rows(connection, table, names, reasons, skip_known=True)
    session.expire_all()
    return len(rows)


def wording(asked: Sequence[str], said: Sequence[str]) -> str:
    """Return question and statement as one text: what is compared to find near duplicates."""
    question = asked[-1] if asked else ""
    return f"{question[:MOST_CHARACTERS]} {' '.join(said)[:MOST_CHARACTERS]}"


def cluster_name(kind: str, said: str) -> str:
    """Return the name of the cluster of all that say this in the same words."""
    key = f"{kind}\n{' '.join(runs(said))}".encode(errors="surrogatepass")
    return f"clu_{blake2b(key, digest_size=12).hexdigest()}"


def forget(session: Session, feedback_ids: Iterable[str]) -> None:
    """Delete everything that the queue holds of some feedback, texts and all. The caller commits."""
    for some in portions(feedback_ids):
        for table in KEPT:
            session.execute(delete(table).where(col(table.feedback_id).in_(some)))


def texts(row: Any) -> tuple[list[str], list[str]]:
    """Return what was asked, turn by turn, and what was said of the answer.

    Args:
        row: with `choice`, and with `body`, `messages` and `choices` as the text of their JSON.
    """
    body, asked, answer = _parts(row)
    return asked, _said(body) or [answer, str(body.get("rating"))]


def _said(body: Mapping[str, Any]) -> list[str]:
    return [str(body[name]) for name in ("correction", "comment") if body.get(name)]


def _parts(row: Any) -> tuple[dict[str, Any], list[str], str]:
    body = decoded(row.body) or {}
    messages = decoded(row.messages) if row.messages else []
    choices = decoded(row.choices) if row.choices else []
    answer = str(choices[row.choice].get("text")) if row.choice < len(choices) else ""
    return body, questions(messages), answer
