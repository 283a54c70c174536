"""The database: durable pragmas, exact writers, honest errors."""

import subprocess
import threading
from pathlib import Path

import pysqlite3
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import QueuePool
from sqlmodel import col, select, text

from feedback.errors import Invalid, Unavailable
from feedback.models import Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import CHECKPOINT_PAGES, SQLITE_MINIMUM, Store
from tests.feedback import writer_process
from trainer.models import Lease


def test_every_pooled_sqlite_connection_syncs_each_commit(tmp_path: Path) -> None:
    store = Store(FeedbackSettings(data_dir=tmp_path / "new" / "folder"))
    connections = [store.engine.connect() for _ in range(5)]
    for connection in connections:
        found = {
            pragma: connection.execute(text(f"PRAGMA {pragma}")).scalar_one()
            for pragma in (
                *("synchronous", "journal_mode", "foreign_keys", "busy_timeout"),
                "wal_autocheckpoint",
            )
        }
        assert found == {
            "synchronous": 2,  # FULL: the log is synced before a commit returns
            "journal_mode": "wal",
            "foreign_keys": 1,
            "busy_timeout": 30_000,
            "wal_autocheckpoint": CHECKPOINT_PAGES,
        }
        connection.close()
    store.close()


def test_sqlite_is_new_enough_for_several_processes() -> None:
    assert pysqlite3.sqlite_version_info >= SQLITE_MINIMUM


def test_refuses_an_sqlite_that_can_corrupt_a_shared_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pysqlite3, "sqlite_version_info", (3, 40, 1))
    with pytest.raises(Invalid, match="pysqlite3"):
        Store(FeedbackSettings(data_dir=tmp_path)).engine  # noqa: B018 - opening is the point


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/heed", ""])
def test_refuses_a_database_it_cannot_use(tmp_path: Path, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        Store(FeedbackSettings(data_dir=tmp_path, database_url=url or "://"))
    assert refused.value.param == "feedback.database_url"


def test_a_database_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "heed.sqlite3").mkdir()
    store = Store(FeedbackSettings(data_dir=tmp_path))
    with pytest.raises(Unavailable), store.session(write=True) as session:
        session.exec(select(Receipt)).all()
    store.close()


def test_a_broken_rule_is_no_outage(store: Store) -> None:
    with pytest.raises(IntegrityError), store.session(write=True) as session:
        session.add(Receipt(feedback_id="fbk_none", status="waiting", reason="", updated_at=0))
        session.commit()


def test_the_database_refuses_feedback_about_nothing(store: Store) -> None:
    with pytest.raises(IntegrityError), store.session(write=True) as session:
        session.add(
            Feedback(
                id="fbk_1",
                event_id="e",
                body_hash="h",
                person_id="per_1",
                body={},
                told_at=0,
                received_at=0,
            )
        )
        session.commit()


def test_an_uncommitted_session_leaves_nothing(store: Store) -> None:
    with store.session(write=True) as session:
        session.add(Lease(name="n", holder="h", fence=1, expires_at=0))
        session.flush()
    with store.session() as session:
        assert session.exec(select(Lease)).first() is None


def test_the_clock_is_the_databases_and_moves_on(store: Store) -> None:
    with store.session() as session:
        first = store.now_seconds(session)
    with store.session() as session:
        second = store.now_seconds(session)
    assert 1.7e9 < first <= second < first + 60


def test_increments_from_several_processes_are_exact(
    store: Store, tmp_path: Path, count: int
) -> None:
    with store.session(write=True) as session:
        session.add(Lease(name=writer_process.COUNTER, holder="", fence=0, expires_at=0))
        session.commit()
    times = 30 * count
    url = store.url.render_as_string(hide_password=False)
    command = [*writer_process.COMMAND, url, "add", str(times)]
    workers = [
        subprocess.Popen(command, cwd=tmp_path, env=writer_process.environment()) for _ in range(2)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    with store.session() as session:
        counter = session.exec(select(Lease).where(col(Lease.name) == writer_process.COUNTER)).one()
    assert counter.fence == 2 * times


def test_closing_waits_for_who_still_reads_and_opens_no_new_session(store: Store) -> None:
    reading, read_on, closed = threading.Event(), threading.Event(), threading.Event()

    def reader() -> None:
        with store.session() as session:
            reading.set()
            assert read_on.wait(60)
            store.now_seconds(session)

    def closer() -> None:
        store.close()
        closed.set()

    threads = [threading.Thread(target=each) for each in (reader, closer)]
    threads[0].start()
    assert reading.wait(60)
    threads[1].start()
    while not refuses(store):
        pass
    assert not closed.is_set()
    read_on.set()
    for each in threads:
        each.join(60)
    assert closed.is_set()
    pool = store.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedin() == pool.checkedout() == 0


def refuses(store: Store) -> bool:
    """Whether no session can be opened any more."""
    try:
        with store.session():
            return False
    except Unavailable:
        return True


def test_an_outage_is_told_without_the_names_of_host_and_user() -> None:
    store = Store(FeedbackSettings(database_url="postgresql+psycopg://someone@127.0.0.1:1/nowhere"))
    with pytest.raises(Unavailable) as told, store.session() as session:
        store.now_seconds(session)
    for secret in ("someone", "127.0.0.1", "nowhere"):
        assert secret not in told.value.message
    assert "(OperationalError)" in told.value.message
