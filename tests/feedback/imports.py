"""Importing texts into a store, as `heed feedback import` does with files."""

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from sqlmodel import col, select

from feedback.formats import catalogue, importing
from feedback.formats.names import In
from feedback.formats.records import Item, Skipped, Tally
from feedback.formats.source import Source
from feedback.models import Exchange, Feedback, Receipt
from feedback.people import PeopleKey
from feedback.store import Store

KEY = PeopleKey(b"k" * 32)


def source(text: str | bytes, name: str = "file.json") -> Source:
    """A text as a source."""
    return Source(name, io.BytesIO(text.encode() if isinstance(text, str) else text))


def lines(*rows: Any) -> str:
    """JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(
    name: In, *texts: str | bytes, scale: int | None = None
) -> tuple[list[Item], list[Skipped]]:
    """What a format makes of texts, without a store."""
    entries = list(catalogue.entries(name, map(source, texts), scale=scale))
    items = [entry for entry in entries if isinstance(entry, Item)]
    return items, [entry for entry in entries if isinstance(entry, Skipped)]


def only(name: In, *texts: str | bytes, scale: int | None = None) -> Item:
    """The one item that texts hold."""
    items, skipped = read(name, *texts, scale=scale)
    assert not skipped
    [item] = items
    return item


def reason(name: In, *texts: str | bytes) -> str:
    """Why the one row of texts is skipped."""
    items, skipped = read(name, *texts)
    assert not items
    [row] = skipped
    return row.reason


def take(
    store: Store, name: In, *texts: str | bytes, broken: type[Exception] | None = None
) -> tuple[Tally, list[Skipped]]:
    """Import texts; with `broken` the import has to end with such an error."""
    tally, skipped = Tally(), list[Skipped]()
    arguments = (store, store.settings, importing.Voices(KEY, name))
    entries = catalogue.entries(name, map(source, texts))
    if broken is None:
        importing.load(*arguments, entries, tally=tally, report=skipped.append)
    else:
        raised(
            lambda: importing.load(*arguments, entries, tally=tally, report=skipped.append), broken
        )
    assert tally.read == tally.imported + tally.duplicates + tally.skipped
    assert tally.skipped == len(skipped) == sum(tally.reasons.values())
    return tally, skipped


def raised(what: Callable[[], object], kind: type[Exception]) -> Exception:
    """What a call raises; it must be of this kind."""
    try:
        what()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def stored(store: Store) -> list[tuple[Feedback, Receipt, Exchange]]:
    """All feedback with its receipt and exchange, in the order it was told."""
    with store.session() as session:
        query = (
            select(Feedback, Receipt, Exchange)
            .join(Receipt, col(Receipt.feedback_id) == Feedback.id)
            .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
            .order_by(col(Feedback.told_at), col(Feedback.id))
        )
        return [
            (feedback, receipt, exchange) for feedback, receipt, exchange in session.exec(query)
        ]


def exchanges(store: Store) -> list[Exchange]:
    """All exchanges, oldest first."""
    with store.session() as session:
        return list(session.exec(select(Exchange).order_by(col(Exchange.created_at))))


def chunked(text: bytes, size: int, name: str = "file.json") -> Source:
    """A source that gives a few bytes at a time."""

    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.left: Iterator[int] = iter(range(0, len(text), size))

        def readable(self) -> bool:
            return True

        def read(self, _count: int = -1) -> bytes:
            at = next(self.left, None)
            return b"" if at is None else text[at : at + size]

    return Source(name, cast(IO[bytes], Slow()))
