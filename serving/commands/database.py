"""``heed db``: the database's shape, and how long things are kept in it."""

from typing import Annotated

import typer

from serving.commands import output

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


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


@app.command()
def purge(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be emptied.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Empty what is older than the settings keep it; the scheduler does so once a day."""
    from dataclasses import asdict

    from feedback import forget, retention
    from serving.commands.opening import opened
    from trainer import pair_store

    with opened() as (settings, store):
        done = retention.purge(store, dry_run=dry_run)
        if not dry_run:
            with store.session(write=True) as session:
                pair_store.empty(session)
                session.commit()
        if not dry_run and done != retention.Purged():
            forget.overwrite(store)
    kept = settings.feedback
    days = {
        "keep_unrated_days": kept.keep_unrated_days,
        "keep_rated_days": kept.keep_rated_days,
    }
    if as_json:
        document = {"object": "database.purge", "dry_run": dry_run, **asdict(done), **days}
        output.document(document)
        return
    if not any(days.values()):
        output.say(
            "Everything is kept: neither feedback.keep_unrated_days nor feedback.keep_rated_days "
            "is set."
        )
        return
    output.say("This would be emptied:" if dry_run else "Emptied:")
    output.facts(
        [
            ("  exchanges that nobody gave feedback on", f"{done.unrated:,}"),
            ("  exchanges with feedback", f"{done.rated:,}"),
            ("  pieces of feedback", f"{done.feedback:,}"),
        ]
    )
