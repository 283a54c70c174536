"""Heed's own format: lossless JSONL, a row per line. Knows no file, no screen and no other format.

A header comes first, then people, exchanges and feedback, each after what it refers to, so that a
reader can take the lines in one by one. A line is an object whose `type` says what it is, with
every column of the row under the column's name; feedback carries its receipt and its reviews. People are
the keyed hashes that the database holds.

No line says when the export was made: the same rows give the same bytes.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import func
from sqlmodel import Session, SQLModel, col, select

from feedback.models import Exchange, Feedback, Person, Receipt, Review
from feedback.settings import PROJECT
from feedback.store import Store

NAME = "heed"
VERSION = 1
PAGE = 500
BESIDE = ("feedback_id", "project_id", "teaches")
"""Columns of receipts and reviews that follow from the feedback that they belong to."""

Row = TypeVar("Row", Person, Exchange, Feedback)


@dataclass(frozen=True)
class Counts:
    """How many rows there are to export."""

    people: int
    exchanges: int
    feedback: int

    @property
    def total(self) -> int:
        """All of them: what a progress bar counts to."""
        return self.people + self.exchanges + self.feedback


def counts(session: Session) -> Counts:
    """Return what an export from this session will hold."""

    def number(kind: type[Person] | type[Exchange] | type[Feedback]) -> int:
        query = select(func.count()).select_from(kind).where(col(kind.project_id) == PROJECT)
        return session.exec(query).one()

    return Counts(number(Person), number(Exchange), number(Feedback))


def freeze(store: Store, session: Session) -> None:
    """Make a fresh session see one moment, whatever is written meanwhile; call it first.

    SQLite's reading transactions do so by themselves.
    """
    if not store.is_sqlite:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def export(session: Session) -> Iterator[dict[str, Any]]:
    """Yield every line of an export, a page of rows in memory at a time.

    Args:
        session: a session that `freeze` was called on, so that no vote comes without its exchange.
    """
    yield {"type": NAME, "version": VERSION, "project": PROJECT}
    for people in _pages(session, Person):
        yield from ({"type": "person", **_columns(person)} for person in people)
    for exchanges in _pages(session, Exchange):
        yield from ({"type": "exchange", **_columns(exchange)} for exchange in exchanges)
    for said in _pages(session, Feedback):
        yield from _feedback(session, said)


def _pages(session: Session, kind: type[Row]) -> Iterator[Sequence[Row]]:
    """Pages by key: unlike an offset, a page costs the same wherever it lies."""
    last = ""
    while True:
        query = select(kind).where(col(kind.project_id) == PROJECT, col(kind.id) > last)
        page = session.exec(query.order_by(col(kind.id)).limit(PAGE)).all()
        if not page:
            return
        yield page
        last = page[-1].id
        session.expunge_all()


def _feedback(session: Session, page: Sequence[Feedback]) -> Iterator[dict[str, Any]]:
    ids = [row.id for row in page]
    receipts = {
        row.feedback_id: row
        for row in session.exec(select(Receipt).where(col(Receipt.feedback_id).in_(ids)))
    }
    reviews: dict[str, list[Review]] = defaultdict(list)
    of_these = select(Review).where(col(Review.feedback_id).in_(ids))
    for review in session.exec(of_these.order_by(col(Review.id))):
        reviews[review.feedback_id].append(review)
    for row in page:
        yield {
            "type": "feedback",
            **_columns(row),
            "receipt": _receipt(receipts.get(row.id)),
            "reviews": [_beside(review) for review in reviews[row.id]],
        }


def _receipt(row: Receipt | None) -> dict[str, Any] | None:
    if row is None:
        return None
    columns = _beside(row)
    if row.status == "waiting":
        # The round that works with it stays here: elsewhere nobody would ever give it back.
        columns["round_id"] = None
    return columns


def _beside(row: SQLModel) -> dict[str, Any]:
    columns = _columns(row)
    return {name: columns[name] for name in columns if name not in BESIDE}


def _columns(row: SQLModel) -> dict[str, Any]:
    """Every column, in the order of the table: the same rows give the same bytes."""
    return {name: getattr(row, name) for name in type(row).model_fields}
