"""The disk fills up or the database goes away: nothing acknowledged is lost, and it goes on after."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, event
from sqlmodel import func, select, text

from feedback.errors import DatabaseFull, HeedError, StorageFull, Unavailable
from feedback.intake import Intake
from feedback.models import Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests import builders
from tests.conftest import Postgres

WAIT_SECONDS = 20
NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON receipt EXECUTE FUNCTION no_room();
CREATE TRIGGER full_disk BEFORE INSERT ON exchange EXECUTE FUNCTION no_room();
"""


@pytest.fixture
def taking(store: Store) -> Iterator[Intake]:
    taking = Intake(store, store.settings)
    taking.start()
    yield taking
    taking.stop()


@contextmanager
def full(store: Store) -> Iterator[None]:
    """Leave no room for another page (SQLite), or have the server say so (PostgreSQL)."""
    pages = 1  # as many as there are

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    if store.is_sqlite:
        event.listen(store.engine, "begin", limit)
        yield
        pages = 1_000_000
        return
    execute(store, NO_ROOM)
    try:
        yield
    finally:
        execute(store, "DROP FUNCTION no_room CASCADE")


def execute(store: Store, statements: str) -> None:
    with store.session(write=True) as session:
        session.connection().execute(text(statements))
        session.commit()


def test_a_full_disk_is_said_so_loses_nothing_and_ends_by_itself(
    store: Store, taking: Intake
) -> None:
    completion_id = builders.recorded(store)
    kept = set()

    def say(number: int) -> str:
        told = builders.told(
            completion_id=completion_id, event_id=f"e{number}", comment="x" * 60_000
        )
        return taking.submit(told).result(WAIT_SECONDS).receipt.feedback_id

    for number in range(3):
        kept.add(say(number))
    with full(store):
        for number in range(3, 8):
            with pytest.raises(StorageFull) as told:
                say(number)
            assert "disk is full" in told.value.message
        with pytest.raises(StorageFull):
            taking.record(builders.exchange(answer="x" * 60_000)).result(WAIT_SECONDS)
        assert feedback_ids(store) == kept  # reading goes on
    for number in range(3, 8):
        kept.add(say(number))
    assert feedback_ids(store) == kept


def test_a_batch_is_refused_whole_by_a_full_disk(store: Store) -> None:
    completion_id = builders.recorded(store)
    tolds = [
        builders.told(completion_id=completion_id, event_id=f"e{n}", comment="x" * 9_000)
        for n in range(40)
    ]
    taking = Intake(store, store.settings)
    with full(store):
        results = taking._write(tolds)
        assert {type(result) for result in results} == {DatabaseFull}
        assert feedback_ids(store) == set()
    assert not any(isinstance(result, HeedError) for result in taking._write(tolds))
    assert len(feedback_ids(store)) == 40


def test_a_database_that_is_gone_is_unavailable_and_comes_back(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = postgres.fresh()
    settings = FeedbackSettings(data_dir=tmp_path_factory.mktemp("data"), database_url=url)
    store = Store(settings)
    schema.upgrade(store)
    completion_id = builders.recorded(store)
    taking = Intake(store, settings)
    taking.start()
    first = taking.submit(builders.told(completion_id=completion_id)).result(WAIT_SECONDS)
    name = store.url.database or ""
    gone(postgres.admin, name)
    for _ in range(3):
        with pytest.raises(Unavailable):
            taking.submit(builders.told(completion_id=completion_id)).result(WAIT_SECONDS)
    back(postgres.admin, name)
    second = taking.submit(builders.told(completion_id=completion_id)).result(WAIT_SECONDS)
    taking.stop()
    assert feedback_ids(store) == {first.receipt.feedback_id, second.receipt.feedback_id}
    store.close()


def gone(admin: "psycopg.Connection[tuple[object, ...]]", name: str) -> None:
    """Let nobody into a database, and throw out who is there."""
    admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
    )


def back(admin: "psycopg.Connection[tuple[object, ...]]", name: str) -> None:
    """Let everybody in again."""
    admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


def feedback_ids(store: Store) -> set[str]:
    """What is on record; each has its receipt."""
    with store.session() as session:
        found = set(session.exec(select(Feedback.id)))
        assert session.exec(select(func.count()).select_from(Receipt)).one() == len(found)
    return found
