"""Joins rows that stand apart, scores here and answers there, in any order, in bounded memory.

Knows no format. Rows lie in a database file of their own that is gone when the import ends, so a
source may be larger than memory and name an answer before or after what was said of it.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pysqlite3 import dbapi2 as sqlite

from feedback.formats.json_rows import TOO_DEEP, Row
from feedback.formats.records import Entry, Place, Said, Skipped, Unusable
from feedback.formats.rowwise import recognised, taken
from feedback.formats.shapes import moment
from feedback.formats.source import Source

VOTE = "vote"
CACHE_KIB = 8_192


class Bench:
    """Rows by kind and id, and by kind and what they belong to."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite.connect(path, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE kept (number INTEGER PRIMARY KEY, kind TEXT, name TEXT, belongs TEXT, "
            "source TEXT, line INTEGER, value TEXT)"
        )
        self._connection.execute("CREATE INDEX kept_name ON kept (kind, name)")
        self._connection.execute("CREATE INDEX kept_belongs ON kept (kind, belongs)")
        self._connection.execute("BEGIN")

    def keep(self, row: Row, kind: str, name: str | None, belongs: str | None = None) -> None:
        """Put a row down."""
        # In ASCII: half a surrogate pair would stop the database, and is refused by its row later.
        names = [None if each is None else _ascii(each) for each in (name, belongs)]
        self._connection.execute(
            "INSERT INTO kept (kind, name, belongs, source, line, value) VALUES (?, ?, ?, ?, ?, ?)",
            (kind, *names, row.place.source, row.place.line, json.dumps(row.value)),
        )

    def one(self, kind: str, name: str | None) -> dict[str, Any] | None:
        """Return the row of this id, the last where there are several."""
        return self._last("name", kind, name)

    def last_of(self, kind: str, belongs: str | None) -> dict[str, Any] | None:
        """Return the last row that belongs to this."""
        return self._last("belongs", kind, belongs)

    def all_of(self, kind: str, belongs: str, most: int) -> list[dict[str, Any]]:
        """Return the rows that belong to this, in the order they came, at most so many."""
        query = "SELECT value FROM kept WHERE kind = ? AND belongs = ? ORDER BY number LIMIT ?"
        found = self._connection.execute(query, (kind, _ascii(belongs), most))
        return [json.loads(value) for (value,) in found]

    def votes(self) -> Iterator[Row]:
        """Yield what was said, in the order it came."""
        query = "SELECT source, line, value FROM kept WHERE kind = ? ORDER BY number"
        for source, line, value in self._connection.execute(query, (VOTE,)):
            yield Row(Place(source, line), json.loads(value))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _last(self, column: str, kind: str, value: str | None) -> dict[str, Any] | None:
        if value is None:
            return None
        query = (
            f"SELECT value FROM kept WHERE kind = ? AND {column} = ? ORDER BY number DESC LIMIT 1"
        )
        found = self._connection.execute(query, (kind, _ascii(value))).fetchone()
        return json.loads(found[0]) if found else None


Sort = Callable[[Row], Iterable[tuple[Row, str, str | None, str | None]]]
"""Says of a row what it is: rows with their kind, their id and what they belong to."""


def joined(
    name: str,
    sources: Iterable[Source],
    sort: Sort,
    read: Callable[[Any, Bench], Said],
    arrays: frozenset[str] = frozenset(),
) -> Iterator[Entry]:
    """Read all sources, then yield every vote with what it is about.

    Rows that nobody said anything of are left where they are.

    Args:
        name: the format.
        sources: what to read.
        sort: takes a row apart; may raise `Unusable`.
        read: turns a vote into what it says, looking on the bench for the rest.
        arrays: keys of an outer object that hold rows.
    """
    with _bench() as bench:
        for source in sources:
            for row in recognised(name, source, arrays):
                if isinstance(row, Skipped):
                    yield row
                    continue
                try:
                    for part, kind, ident, belongs in sort(row):
                        bench.keep(part, kind, ident, belongs)
                except Unusable as fault:
                    yield Skipped(row.place, fault.reason, fault.detail)
                except RecursionError:
                    yield Skipped(row.place, TOO_DEEP)
        for vote in bench.votes():
            yield taken(vote, lambda value: read(value, bench))


def first(row: Mapping[str, Any], *names: str) -> Any:
    """Return the first of these fields that says something: spellings differ between exports."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def ident(row: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields as an id."""
    found = first(row, *names)
    if isinstance(found, str | int) and not isinstance(found, bool):
        return str(found)
    return None


def when(row: Mapping[str, Any], *names: str) -> float | None:
    """Return the first of these fields as Unix seconds; None where it is no time."""
    try:
        return moment(first(row, *names))
    except ValueError:
        return None


@contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="heed-import-") as folder:
        bench = Bench(Path(folder) / "rows.sqlite3")
        try:
            yield bench
        finally:
            bench.close()


def _ascii(name: str) -> str:
    return name if name.isascii() else json.dumps(name)
