"""Many rows in few statements, and the ledger's tuples beside the tables that they go to."""

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, func, select

from feedback.ledger import Event, Kept
from feedback.models import Person
from feedback.rows import FEW_ROWS, MOST_ROWS, insert_rows, rows_named, update_rows
from feedback.store import Store
from tests import builders

COLUMNS = ("id", "project_id", "key_id", "first_seen_at")


def test_the_tuples_have_every_column_of_their_tables() -> None:
    tables = SQLModel.metadata.tables
    assert set(Event._fields) == set(tables["feedback"].columns.keys())
    assert set(Kept._fields) == set(tables["receipt"].columns.keys())
    assert Event._fields[-1] == "body"  # whose text takes its place when it is written


@pytest.mark.parametrize("count", [0, 1, FEW_ROWS, FEW_ROWS + 1, MOST_ROWS - 1, 3 * MOST_ROWS + 45])
def test_however_many_rows_there_are_each_is_there_once(store: Store, count: int) -> None:
    rows = [(f"per_{n}", "default", "key", float(n)) for n in range(count)]
    with store.session(write=True) as session:
        insert_rows(session.connection(), "person", COLUMNS, rows)
        session.commit()
    with store.session() as session:
        assert session.exec(select(func.count()).select_from(Person)).one() == count
        names = [row[0] for row in rows] + ["per_nobody"]
        query = "SELECT id, first_seen_at FROM person WHERE"
        assert sorted(rows_named(session.connection(), query, "id", names)) == sorted(
            (row[0], row[3]) for row in rows
        )


def test_what_is_known_is_left_alone_only_where_that_is_asked_for(store: Store) -> None:
    rows = [("per_1", "default", "key", 1.0)]
    with store.session(write=True) as session:
        insert_rows(session.connection(), "person", COLUMNS, rows)
        again = [("per_1", "default", "key", 2.0), ("per_2", "default", "key", 2.0)]
        insert_rows(session.connection(), "person", COLUMNS, again, skip_known=True)
        session.commit()
    with store.session() as session:
        found = session.exec(select(Person.id, Person.first_seen_at)).all()
    assert sorted(found) == [("per_1", 1.0), ("per_2", 2.0)]
    with pytest.raises(IntegrityError), store.session(write=True) as session:
        insert_rows(session.connection(), "person", COLUMNS, rows)


def test_a_name_may_hold_anything_and_none_finds_nothing(store: Store) -> None:
    odd = 'a "quoted", {braced} \\ name; DROP TABLE person -- é%s?'
    with store.session(write=True) as session:
        rows = [(odd, "default", "key", 1.0)]
        insert_rows(session.connection(), "person", COLUMNS, rows)
        query = "SELECT id FROM person WHERE"
        assert rows_named(session.connection(), query, "id", [odd]) == [(odd,)]
        assert rows_named(session.connection(), query, "id", []) == []


def test_as_much_feedback_as_a_statement_takes_fits_into_one(store: Store) -> None:
    """Its rows have the most columns: neither database binds more than so many values at once."""
    said = builders.told(completion_id=builders.recorded(store))
    assert len(set(builders.tell(store, *[said] * (MOST_ROWS + 1)))) == MOST_ROWS + 1


@pytest.mark.parametrize("count", [0, 1, FEW_ROWS + 1, MOST_ROWS + 45])
def test_each_row_gets_its_own_values_and_nobody_elses(store: Store, count: int) -> None:
    rows = [(f"per_{n}", "default", "key", 0.1 * n) for n in range(count + 1)]
    changed = [(name, at + 0.7, f"key of {name}") for name, _, _, at in rows[1:]]
    types = {"first_seen_at": "double precision", "key_id": "text"}
    with store.session(write=True) as session:
        insert_rows(session.connection(), "person", COLUMNS, rows)
        update_rows(session.connection(), "person", "id", types, changed)
        session.commit()
    with store.session() as session:
        found = session.exec(select(Person.id, Person.first_seen_at, Person.key_id)).all()
    # To the last bit: numbers go as numbers, and not as text.
    assert sorted(found) == sorted([("per_0", 0.0, "key"), *changed])


def test_a_column_may_be_emptied_in_every_row(store: Store) -> None:
    """PostgreSQL takes a column of nothing but NULL for text, unless it is told."""
    name = builders.say(store, completion_id=builders.recorded(store), rating="up")
    types = {"weight": "double precision", "round_id": "text"}
    for values in ((0.25, "rnd_1"), (None, None)):
        with store.session(write=True) as session:
            update_rows(session.connection(), "receipt", "feedback_id", types, [(name, *values)])
            session.commit()
        found = builders.receipt_of(store, name)
        assert (found.weight, found.round_id) == values
