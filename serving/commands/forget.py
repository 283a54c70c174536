"""``heed forget``: erases a person everywhere."""

from typing import TYPE_CHECKING, Annotated

import typer

from serving.commands import output

if TYPE_CHECKING:
    from serving.forgetting import Report


def forget(
    user: Annotated[
        str,
        typer.Argument(
            metavar="USER",
            help="A name as clients send it, an API key's id, or a keyed hash (per_…).",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be erased.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Erase a person everywhere, and list the adapters that learned from them."""
    from feedback.people import people_key
    from serving import forgetting
    from serving.commands.opening import opened

    with opened() as (settings, store):
        people = people_key(settings.feedback.data_dir)
        done = forgetting.forget(store, people, user, actor="cli", dry_run=dry_run)
    if as_json:
        output.document(done.to_json())
    else:
        _print(done)


def _print(done: "Report") -> None:
    from serving.forgetting import RETRAIN

    if not done.found:
        output.say("Nobody of this name is on record; there is nothing to erase.")
    else:
        output.say("This would be erased:" if done.dry_run else "Erased:")
        output.facts(
            (f"  {name}", f"{number:,}")
            for name, number in (
                ("exchanges", done.exchanges),
                ("pieces of feedback", done.feedback),
                ("reviewers' decisions", done.reviews),
                ("past examples", done.past_examples),
                ("rows of snapshots", done.snapshot_rows),
                ("audit entries", done.audit_entries),
            )
        )
    if done.adapters:
        output.say(f"\n{RETRAIN}")
        output.table(
            ("adapter", "state", "round", "how"),
            [(each["id"], each["state"], each["round"], each["how"]) for each in done.adapters],
        )
    if done.id and not done.overwritten:
        output.say(
            "\nSomebody was reading the database, so SQLite's log could not be emptied. It will "
            "be when they are done; the same command looks again."
        )
    if done.id:
        output.say("\nBackups and files that `heed feedback export` wrote are not Heed's to find.")
