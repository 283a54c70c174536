"""``heed adapters``: what the model has learned, which version is live, and changing that.

Works on the database and the files; a running server follows within half a second.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.commands import canary, output

if TYPE_CHECKING:
    from trainer.models import Deployment

AdapterId = Annotated[str, typer.Argument(metavar="ID", help="As `heed adapters list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why, for those who look later.")]

app = typer.Typer(help="Look after what the model has learned.", no_args_is_help=True)
for command in (canary.canary, canary.ab, canary.rank):
    app.command()(command)


@app.command("list")
def index(as_json: output.Json = False) -> None:
    """List the adapters, newest first, and what is live."""
    from serving import wire
    from serving.commands.opening import opened
    from trainer import registry

    with opened() as (settings, store), store.session() as session:
        rows = registry.adapters(session)
        deployment = registry.live(session)
    if as_json:
        page = wire.page([wire.adapter(row) for row in rows])
        output.document({**page, "deployment": wire.deployment(deployment)})
    elif not rows:
        output.say(
            f"No adapters in {settings.feedback.data_dir} yet; the base model answers. "
            "`heed round run` makes one once there is feedback (`heed feedback stats`)."
        )
    else:
        output.table(
            ("id", "state", "parent", "made"),
            [
                (row.id, row.state, row.parent_id or "base", output.moment(row.created_at))
                for row in rows
            ],
        )
        output.say(f"\n{_deployed(deployment)}")


@app.command()
def show(adapter_id: AdapterId, as_json: output.Json = False) -> None:
    """Show one adapter and where it comes from."""
    from serving import wire
    from serving.commands.opening import opened
    from trainer import registry

    with opened() as (settings, store), store.session() as session:
        row = registry.get(session, adapter_id)
        ancestors = [each.id for each in registry.lineage(session, row.parent_id)]
    if as_json:
        output.document({**wire.adapter(row), "lineage": ancestors})
        return
    output.facts(
        [
            ("id", row.id),
            ("state", row.state),
            ("made", output.moment(row.created_at)),
            ("round", row.round_id),
            ("base model", f"{row.base_model} ({row.base_hash[:12]})"),
            ("descends from", " < ".join([*ancestors, "base"])),
            ("digest", row.digest),
            ("folder", registry.folder(settings.feedback.data_dir, row.digest)),
        ]
    )


@app.command()
def promote(
    adapter_id: AdapterId,
    canary_share: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="Share of people it answers first; 0: all, at once."),
    ] = 0.0,
    reason: Reason = "promoted by hand",
    as_json: output.Json = False,
) -> None:
    """Make an adapter live, or a canary; its files are verified first."""
    from serving import auth
    from serving.commands.opening import opened
    from trainer import registry

    with opened() as (settings, store):
        with store.session() as session:
            row = registry.get(session, adapter_id)
        registry.verify(settings.feedback.data_dir, row)
        with store.session(write=True) as session:
            deployment = registry.promote(
                session, adapter_id, actor="cli", reason=reason, canary_share=canary_share
            )
            auth.audit(session, actor="cli", action="adapter.promote", subject=adapter_id)
            session.commit()
    _tell(deployment, as_json=as_json)


@app.command()
def rollback(reason: Reason = "rolled back by hand", as_json: output.Json = False) -> None:
    """Take a canary away, or go back to the live adapter's parent."""
    from serving import auth
    from serving.commands.opening import opened
    from trainer import registry

    with opened() as (_, store), store.session(write=True) as session:
        before = registry.live(session)
        deployment = registry.rollback(session, actor="cli", reason=reason)
        subject = (before.canary_id or before.live_id if before else None) or "base"
        auth.audit(session, actor="cli", action="adapter.rollback", subject=subject)
        session.commit()
    _tell(deployment, as_json=as_json)


@app.command()
def card(adapter_id: AdapterId, as_json: output.Json = False) -> None:
    """Print an adapter's model card: origin, data, recipe, how it was judged, known losses."""
    from serving.commands.opening import opened
    from trainer import export as exporting
    from trainer import registry
    from trainer import round as rounds

    with opened() as (_, store), store.session() as session:
        row = registry.get(session, adapter_id)
        made_by = rounds.get(session, row.round_id) if row.round_id else None
        written = exporting.model_card(row, made_by)
    if as_json:
        output.document({"object": "adapter.card", "id": row.id, "card": written})
    else:
        output.say(written.rstrip())


@app.command()
def export(
    adapter_id: AdapterId,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    as_json: output.Json = False,
) -> None:
    """Write an adapter as a plain PEFT folder with a model card."""
    from serving.commands.opening import opened
    from trainer import export as exporting
    from trainer import registry
    from trainer import round as rounds

    with opened() as (settings, store):
        with store.session() as session:
            row = registry.get(session, adapter_id)
            made_by = rounds.get(session, row.round_id) if row.round_id else None
        target = exporting.export(settings.feedback.data_dir, row, made_by, folder)
    if as_json:
        files = sorted(path.name for path in target.iterdir())
        output.document({"object": "adapter.export", "id": row.id, "files": files})
    else:
        output.say(f"{row.id} lies in {folder}, with its model card {exporting.CARD}.")


@app.command()
def verify(
    adapter_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Every adapter by default.")
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Check every byte of adapters against their digests; fails if any is damaged."""
    from feedback.errors import Invalid
    from serving import wire
    from serving.commands.opening import opened
    from trainer import registry

    found = []
    with opened() as (settings, store):
        with store.session() as session:
            rows = (
                [registry.get(session, adapter_id) for adapter_id in adapter_ids]
                if adapter_ids
                else list(registry.adapters(session))
            )
        for row in rows:
            problem = None
            try:
                registry.verify(settings.feedback.data_dir, row)
            except Invalid as fault:
                problem = fault.message
            except OSError as fault:
                problem = output.from_os(fault).message
            found.append({"id": row.id, "state": row.state, "ok": not problem, "problem": problem})
    if as_json:
        output.document(wire.page(found))
    elif not found:
        output.say("There are no adapters to verify yet.")
    else:
        output.table(
            ("id", "state", "files"),
            [(each["id"], each["state"], each["problem"] or "ok") for each in found],
        )
    if not all(each["ok"] for each in found):
        raise typer.Exit(1)


def _tell(deployment: "Deployment", *, as_json: bool) -> None:
    if as_json:
        from serving import wire

        output.document(wire.deployment(deployment))
    else:
        output.say(f"{_deployed(deployment)} Running servers follow within a second.")


def _deployed(deployment: "Deployment | None") -> str:
    if deployment is None:
        return "The base model is live, as installed."
    role = "is the canary for" if deployment.mode == "canary" else "answers, for comparison,"
    second = (
        f", {deployment.canary_id} {role} {deployment.canary_share:.0%} of people"
        if deployment.canary_id
        else ""
    )
    live = deployment.live_id or "the base model"
    return f"Generation {deployment.generation}: {live} is live{second} ({deployment.reason})."
