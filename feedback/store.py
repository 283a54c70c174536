"""The one place that opens a database. Knows no table and no query.

SQLite runs in WAL with ``synchronous=FULL``: a commit that returned is on the disk. Its default
driver opens no transaction for a SELECT, so read-then-write loses updates between processes;
here every writing session begins with ``BEGIN IMMEDIATE``.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pysqlite3
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, text

from feedback.errors import DatabaseFull, Invalid, Unavailable
from feedback.settings import FeedbackSettings

log = logging.getLogger("heed.store")

SQLITE_MINIMUM = (3, 51, 3)
"""Older SQLites can corrupt a WAL database that several processes write
(https://sqlite.org/wal.html#walresetbug)."""
_FULL_SQLITE = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""The second where there is no room even for the index of the log."""
_FULL_POSTGRES = "53100"
BUSY_SECONDS = 30.0
CHECKPOINT_PAGES = 4000
"""The log is copied into the database when it has so many pages (16 MB). SQLite's own thousand come
with every tenth commit of a busy server, and most of those pages are written again in the next."""
CONNECT_SECONDS = 5
CLOSE_SECONDS = 10.0
"""How long closing waits for who is still reading or writing."""


class Store:
    """A database, opened once per process.

    Raises:
        Invalid: the URL names no database that Heed can use.
    """

    def __init__(self, settings: FeedbackSettings) -> None:
        self.settings = settings
        self._open_sessions = 0
        self._closed = False
        self._changed = threading.Condition()
        try:
            self.url = make_url(settings.url)
        except ArgumentError as error:
            raise Invalid(
                "feedback.database_url is no SQLAlchemy URL; write sqlite:///PATH or "
                "postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
                param="feedback.database_url",
            ) from error
        backend = self.url.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise Invalid(
                f"Heed keeps its data in SQLite or PostgreSQL, not in {backend!r}.",
                param="feedback.database_url",
            )

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite (a file), else PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @cached_property
    def engine(self) -> Engine:
        """The pooled engine; the folder of an SQLite file is made on first use."""
        if not self.is_sqlite:
            return create_engine(
                self.url,
                connect_args={"connect_timeout": CONNECT_SECONDS},
                pool_pre_ping=True,
                pool_size=10,
                max_overflow=20,
                hide_parameters=True,  # what people said belongs in no error message
            )
        if pysqlite3.sqlite_version_info < SQLITE_MINIMUM:
            raise Invalid(
                f"SQLite {pysqlite3.sqlite_version} can corrupt a database that several processes "
                f"share; install pysqlite3>=0.6.1 (SQLite {'.'.join(map(str, SQLITE_MINIMUM))})."
            )
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            self.url,
            module=pysqlite3.dbapi2,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            pool_size=10,
            max_overflow=20,
            # The last one used knows most of what its cache holds to be as it was; in turns each would
            # find that another has written, and read everything anew.
            pool_use_lifo=True,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin)
        return engine

    @contextmanager
    def session(self, *, write: bool = False) -> Iterator[Session]:
        """Open a session; a writing one takes SQLite's write lock at once. The caller commits.

        Raises:
            DatabaseFull: the disk is full; the same works again once there is room.
            Unavailable: the database cannot be reached or written (a lost server), or this process
                is letting go of it.
        """
        engine = self.engine.execution_options(write=True) if write else self.engine
        with self._counted(), Session(engine, expire_on_commit=False) as session:
            try:
                yield session
            except (SQLAlchemyError, sqlite3.Error, pysqlite3.Error) as error:
                if _is_full(error):
                    log.error("the disk is full: nothing can be written until there is room")
                    raise DatabaseFull(
                        "Heed's disk is full, so this was not kept and nothing was changed. Send "
                        "it again later; whoever runs Heed has to make room."
                    ) from error
                if _is_outage(error):
                    raise Unavailable(
                        f"The database did not take this ({self._reason(error)}). Nothing was "
                        "changed; try again, and look at disk space and the database's log."
                    ) from error
                raise

    def now_seconds(self, session: Session) -> float:
        """The database's own clock, in Unix seconds: what leases are measured by."""
        query = (
            "SELECT (julianday('now') - 2440587.5) * 86400.0"
            if self.is_sqlite
            else "SELECT extract(epoch FROM clock_timestamp())"
        )
        return float(session.connection().execute(text(query)).scalar_one())

    def close(self) -> None:
        """Give every connection back, once nobody reads or writes any more; open no new session.

        A thread that outlived the task it worked for would take a connection with it otherwise.
        """
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._open_sessions, CLOSE_SECONDS)
        self.engine.dispose()

    def _reason(self, error: Exception) -> str:
        """What may be told to anybody: a server's own words name hosts and users."""
        cause = getattr(error, "orig", None) or error
        if self.is_sqlite:
            return str(cause).splitlines()[0]
        log.warning("the database failed: %s", cause)
        return type(cause).__name__

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise Unavailable("Heed is ending and takes no more; try again in a moment.")
            self._open_sessions += 1
        try:
            yield
        finally:
            with self._changed:
                self._open_sessions -= 1
                self._changed.notify_all()


def _configure_sqlite(connection: Any, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" event below opens transactions
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"busy_timeout={int(BUSY_SECONDS * 1000)}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_outage(error: Exception) -> bool:
    return type(error).__name__ in ("OperationalError", "InterfaceError", "DiskIOError")


def _is_full(error: Exception) -> bool:
    cause: Any = getattr(error, "orig", None) or error
    return (
        getattr(cause, "sqlite_errorname", None) in _FULL_SQLITE
        or getattr(cause, "sqlstate", None) == _FULL_POSTGRES
    )
