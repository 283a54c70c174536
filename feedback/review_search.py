"""Full-text search of the review queue, the same on SQLite (FTS5) and PostgreSQL (tsvector, GIN).

Both index the words that `indexed` writes, which are folded and cut here and not by either of them,
so that both find the same. Knows no lane and no reviewer.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, bindparam, literal_column, text
from sqlmodel import Session, col

from feedback.errors import Invalid
from feedback.review_models import ReviewItem
from feedback.words import runs

MOST_CHARACTERS = 20_000
"""Of one piece of feedback with its question and answer; the rest is not searched."""
MOST_LETTERS = 64
"""Of one word; more is no word."""
MOST_TERMS = 32
_FTS = text("SELECT rowid FROM reviewtext WHERE reviewtext MATCH :searched")


def indexed(texts: Iterable[str]) -> str:
    """Return what is indexed of some texts: their different words, casefolded, in a fixed order."""
    words = runs(" ".join(texts)[:MOST_CHARACTERS])
    return " ".join(dict.fromkeys(word[:MOST_LETTERS] for word in words))


def matches(session: Session, query: str) -> ColumnElement[bool]:
    """Return the condition for the items that hold every word of a query.

    Args:
        session: of the store: the databases ask each in their own way.
        query: words in any order; one with ``*`` at its end stands for all that begin so.

    Raises:
        Invalid: there is no word in it, or there are too many.
    """
    terms = _terms(query)
    if not terms:
        raise Invalid("`q` has no word to look for.", param="q")
    if len(terms) > MOST_TERMS:
        raise Invalid(f"`q` has more than {MOST_TERMS} words; name fewer.", param="q")
    if session.connection().dialect.name == "sqlite":
        searched = " ".join(f'"{word}"{"*" if prefix else ""}' for word, prefix in terms)
        found = _FTS.bindparams(searched=searched).columns(literal_column("rowid"))
        return col(ReviewItem.id).in_(found.subquery().select())
    searched = " & ".join(f"'{word}'{':*' if prefix else ''}" for word, prefix in terms)
    vector = "array_to_tsvector(string_to_array(reviewitem.words, ' '))"
    return literal_column(vector).op("@@", is_comparison=True)(
        text("CAST(:searched AS tsquery)").bindparams(bindparam("searched", searched))
    )


def _terms(query: str) -> list[tuple[str, bool]]:
    """Words, and whether each stands for all that begin so. Letters and digits alone: no operator
    of either database gets through."""
    terms: dict[tuple[str, bool], None] = {}
    for part in query.split():
        words = runs(part)
        for at, word in enumerate(words):
            last = at == len(words) - 1
            terms[word[:MOST_LETTERS], last and part.endswith("*")] = None
    return list(terms)
