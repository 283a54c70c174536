"""Opens what a command works on: the settings, and a database of the right shape.

Imported by commands once they run. Knows nothing of what they do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from feedback.errors import Unavailable
from feedback.store import Store
from serving import schema
from serving.settings import Settings, load


@contextmanager
def opened() -> Iterator[tuple[Settings, Store]]:
    """Read the settings and open the database; an empty one is given its tables.

    A database of another version is left alone, since a server of that version may be using it.

    Raises:
        Invalid: the settings do not hold.
        Unavailable: the database cannot be used, or has another version's shape.
    """
    settings = load()
    store = Store(settings.feedback)
    try:
        found = revision(store)
        if found is None:
            schema.upgrade(store)
        elif found != schema.head():
            raise Unavailable(
                f"The database is at revision {found}, and this Heed works with {schema.head()}. "
                "Stop what still uses the old version, then run `heed db upgrade`."
            )
        yield settings, store
    finally:
        store.close()


def revision(store: Store) -> str | None:
    """Return the database's revision; None for an empty one.

    Raises:
        Unavailable: it cannot be used; says why.
    """
    try:
        with store.engine.connect() as connection:
            return schema.revision(connection)
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        where = store.url.render_as_string(hide_password=True)
        raise Unavailable(
            f"The database {where} cannot be used: {cause}. Look at feedback.database_url and "
            "feedback.data_dir (`heed config show`)."
        ) from error
