"""``heed db``: the database's shape."""

import typer

from serving.commands import output

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.callback()
def _database() -> None:
    """Keeps `upgrade` a command of its own while it is the only one."""


@app.command()
def upgrade(as_json: output.Json = False) -> None:
    """Bring the database to this version's shape; twice is the same as once."""
    from alembic.util import CommandError

    from feedback.errors import Unavailable
    from feedback.store import Store
    from serving import schema
    from serving.commands.opening import revision
    from serving.settings import load

    store = Store(load().feedback)
    try:
        before = revision(store)
        schema.upgrade(store)
        after = revision(store)
    except CommandError as error:
        raise Unavailable(
            f"The database is at revision {before}, which this Heed does not know ({error}): a "
            "newer version made it. Install that version."
        ) from error
    finally:
        store.close()
    where = store.url.render_as_string(hide_password=True)
    if as_json:
        output.document({"object": "database", "url": where, "before": before, "after": after})
    elif before == after:
        output.say(f"{where} is up to date (revision {after}).")
    else:
        output.say(f"{where} went from {before or 'empty'} to revision {after}.")
