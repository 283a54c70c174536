"""Formats whose rows each stand for themselves: the loop around a function that reads one row.

Knows no format.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from feedback.errors import Invalid
from feedback.formats import recognise
from feedback.formats.json_rows import CUT_LINE, NOT_JSON, TOO_DEEP, Row, rows
from feedback.formats.records import Entry, Item, Said, Skipped, Unusable
from feedback.formats.source import Source


def each(
    name: str,
    sources: Iterable[Source],
    read: Callable[[Any], Said],
    arrays: frozenset[str] = frozenset(),
) -> Iterator[Entry]:
    """Read every row of every source.

    Args:
        name: the format, for what is said of a file that is none.
        sources: what to read.
        read: turns one row into what it says, or raises `Unusable`.
        arrays: keys of an outer object that hold rows.

    Raises:
        Invalid: a source is not of this format, or breaks off.
    """
    for source in sources:
        for row in recognised(name, source, arrays):
            yield row if isinstance(row, Skipped) else taken(row, read)


def taken(row: Row, read: Callable[[Any], Said]) -> Entry:
    """Return what one row says, or why it is skipped."""
    try:
        chats, votes = read(row.value)
    except Unusable as fault:
        return Skipped(row.place, fault.reason, fault.detail)
    except RecursionError:
        return Skipped(row.place, TOO_DEEP)
    return Item(row.place, chats, votes)


def recognised(
    name: str, source: Source, arrays: frozenset[str] = frozenset()
) -> Iterator[Row | Skipped]:
    """Yield a source's rows, once the first of them have been seen to be of the format.

    Raises:
        Invalid: they are not; says which format they look like.
    """
    found = rows(source, arrays)
    sample: list[Row | Skipped] = []
    fault = None
    try:
        sample.extend(islice(found, recognise.SAMPLE))
    except Invalid as error:  # what came before it is to be taken all the same
        fault = error
    if not sample and fault is None:
        return
    values = [row.value for row in sample if isinstance(row, Row)]
    if values:
        recognise.check(name, source.name, values)
    elif sample and all(isinstance(row, Skipped) and row.reason == NOT_JSON for row in sample):
        last = sample[-1]
        cut = isinstance(last, Skipped) and last.detail.endswith(CUT_LINE)
        ends = f"it ends within line {last.place.line}"
        why = "its first lines are no JSON" + (f", and {ends}" if cut else "")
        raise recognise.WrongFormat(
            f"{source.name} does not look like {name}: {ends if cut and len(sample) == 1 else why}."
        )
    yield from sample
    if fault is not None:
        raise fault
    yield from found
