"""The database's shape: brought up to date by Alembic, from a wheel and a checkout alike."""

from importlib.resources import files

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlmodel import SQLModel, text

from feedback import models as said
from feedback import review_models as reviewed
from feedback.store import Store
from serving import models as served
from trainer import models as learned

TABLES = (said, reviewed, learned, served)
"""The modules whose import registers every table with SQLModel's metadata."""
TEXT_INDEX = "reviewtext"
"""How everything is called that the databases keep for full-text search, each in its own way."""
LOCK = 4_806_525  # any fixed number: PostgreSQL's advisory locks are named by one


def upgrade(store: Store) -> None:
    """Bring the database to the newest revision; processes that start together take turns."""
    with store.engine.execution_options(write=True).begin() as connection:
        if not store.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        if revision(connection) != head():
            command.upgrade(_config(connection), "head")


def revision(connection: Connection) -> str | None:
    """Return the database's revision; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """Return the newest revision there is."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def drift(store: Store) -> list[object]:
    """Return the differences between the tables in code and in the database; empty when in step."""
    with store.engine.connect() as connection:
        options = {"include_name": _is_described}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, SQLModel.metadata))


def _is_described(name: str | None, kind: str, parents: object) -> bool:
    return kind not in ("table", "index") or not (name or "").startswith(TEXT_INDEX)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("serving.migrations")))
    config.attributes["connection"] = connection
    return config
