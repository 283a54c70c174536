"""Many rows in few statements, on SQLite and PostgreSQL alike. Knows no table.

Past the ORM and past a parameter dictionary for each row, which cost several times what SQLite
itself needs for an insert. A statement takes many rows rather than one, because Python's lock is let
go and taken again around every statement: while another thread computes, each taking may wait for
milliseconds. And the texts of the statements are few, so that each is prepared once.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection

MOST_ROWS = 1024
"""In one statement: 20 columns of so many rows stay below what either database binds at once."""
FEW_ROWS = 16
"""Up to here there is a statement for every number of rows; above, for powers of two."""


def insert_rows(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    *,
    skip_known: bool = False,
) -> None:
    """Insert rows within the caller's transaction.

    Args:
        connection: of the caller's transaction.
        table: its name.
        columns: their names.
        rows: a value for each of `columns`, as the driver takes them: JSON is text already.
        skip_known: leave alone what a unique key says is there.
    """
    sqlite = connection.dialect.name == "sqlite"
    for part in _parts(rows):
        statement = _insert(table, columns, len(part), sqlite, skip_known)
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


def update_rows(
    connection: Connection,
    table: str,
    key: str,
    columns: Mapping[str, str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Update rows within the caller's transaction, each with values of its own.

    Args:
        connection: of the caller's transaction.
        table: its name.
        key: the column, of text, that tells the rows apart.
        columns: what is set, and its type as SQL writes it: PostgreSQL does not guess it.
        rows: the key, then a value for each of `columns`.
    """
    sqlite = connection.dialect.name == "sqlite"
    for part in _parts(rows):
        statement = _update(table, key, tuple(columns.items()), len(part), sqlite)
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


def rows_named(
    connection: Connection, query: str, column: str, names: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return what a query finds where a column is one of these names, however many they are.

    Args:
        connection: of the caller's transaction.
        query: up to its last condition, such as ``SELECT … WHERE … AND``.
        column: of that condition.
        names: what the column may be; one parameter, so that the statement is always the same.
    """
    if not names:
        return []
    if connection.dialect.name == "sqlite":
        condition, values = f"{column} IN (SELECT value FROM json_each(?))", json.dumps(names)
        found = connection.exec_driver_sql(f"{query} {condition}", (values,))
    else:
        found = connection.exec_driver_sql(f"{query} {column} = ANY(%s)", (list(names),))
    return [tuple(row) for row in found]


def _parts(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    at, size = 0, MOST_ROWS
    while at < len(rows):
        left = len(rows) - at
        while size > left and size > FEW_ROWS:
            size //= 2
        yield rows[at : at + size]
        at += size


@cache
def _insert(table: str, columns: tuple[str, ...], rows: int, sqlite: bool, skip_known: bool) -> str:
    row = f"({', '.join(['?' if sqlite else '%s'] * len(columns))})"
    names = ", ".join(f'"{column}"' for column in columns)
    ending = " ON CONFLICT DO NOTHING" if skip_known else ""
    return f'INSERT INTO "{table}" ({names}) VALUES {", ".join([row] * rows)}{ending}'


@cache
def _update(
    table: str, key: str, columns: tuple[tuple[str, str], ...], rows: int, sqlite: bool
) -> str:
    row = f"({', '.join(['?' if sqlite else '%s'] * (len(columns) + 1))})"
    # Both databases call the columns of values so, in their order.
    values = ", ".join(
        f'"{name}" = CAST(new.column{number} AS {kind})'
        for number, (name, kind) in enumerate(columns, start=2)
    )
    return (
        f'UPDATE "{table}" SET {values} FROM (VALUES {", ".join([row] * rows)}) AS new '
        f'WHERE "{table}"."{key}" = new.column1'
    )
