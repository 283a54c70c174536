"""``heed watch``: what is measured of the version that answers, what changed, and who was told."""

from typing import Annotated, Any, Literal

import typer

from serving.commands import output

AlertState = Literal["open", "acknowledged", "resolved"]
OfAdapter = Annotated[
    str | None, typer.Option(metavar="ID", help="One version alone; `base` for the base model.")
]

app = typer.Typer(help="Watch the version that answers for changes.")


@app.callback(invoke_without_command=True)
def show(ctx: typer.Context, adapter: OfAdapter = None, as_json: output.Json = False) -> None:
    """Show each measure of each version that was live, with its interval, and whether it alarms."""
    if ctx.invoked_subcommand is not None:
        return
    from serving import watch_shown
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session() as session:
        found = watch_shown.shown(session, settings.trainer, adapter=adapter)
    if as_json:
        output.document(found)
    elif not found["watching"]:
        output.say("Nothing is watched (trainer.watch).")
    elif not found["data"]:
        output.say(
            "Nothing was measured yet: a running server with the role scheduler does, once an "
            "answer is ten minutes old (trainer.watch_settle_seconds)."
        )
    else:
        for version in found["data"] if adapter else found["data"][:2]:
            _version(version)


@app.command()
def alerts(
    state: Annotated[AlertState | None, typer.Option(help="Only these.")] = None,
    adapter: OfAdapter = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="So many at most.")] = 20,
    as_json: output.Json = False,
) -> None:
    """List alerts, the newest first."""
    from serving import watch_alerts, wire
    from serving.commands.opening import opened

    with opened() as (_, store), store.session() as session:
        rows, more = watch_alerts.alerts(session, state=state, adapter=adapter, limit=limit)
        found = [watch_alerts.wire(row) for row in rows]
    if as_json:
        output.document(wire.page(found, more=more))
    elif not found:
        output.say("No alerts." if state is None else f"No alerts are {state}.")
    else:
        output.table(
            ("id", "when", "state", "webhook", "what"),
            [
                (
                    each["id"],
                    output.moment(each["at"]),
                    each["state"],
                    each["delivery"],
                    " ".join(filter(None, (each["message"], _sentence(each["rollback"])))),
                )
                for each in found
            ],
        )


@app.command()
def acknowledge(
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="As `heed watch alerts` shows it.")],
    as_json: output.Json = False,
) -> None:
    """Take note of an alert: it rolls nothing back, and its measure is watched anew from here."""
    from serving import watch_alerts
    from serving.commands.opening import opened

    with opened() as (_, store), store.session(write=True) as session:
        row = watch_alerts.acknowledge(session, alert_id, actor="cli")
        session.commit()
        found = watch_alerts.wire(row)
    if as_json:
        output.document(found)
    elif found["state"] == "resolved":
        output.say(f"{alert_id} was resolved already: its version is no longer live.")
    else:
        output.say(f"{alert_id} is acknowledged by {found['acknowledged_by']}.")


@app.command()
def test(as_json: output.Json = False) -> None:
    """Post a test to the webhook (serving.webhook_url)."""
    from serving import watch_webhook
    from serving.settings import load

    settings = load().serving
    name = watch_webhook.test(settings)
    if as_json:
        output.document({"id": name, "object": "webhook.test", "delivered": True})
    else:
        signed = "signed" if settings.webhook_secret else "unsigned: serving.webhook_secret signs"
        output.say(f"The webhook took {name} ({signed}).")


def _version(version: dict[str, Any]) -> None:
    against = version["reference"]
    output.say(
        f"{version['adapter']} since {output.moment(version['since']) if version['since'] else 'ever'}"
        f", {f'beside {against} before it' if against else 'with nothing before it'}\n"
    )
    output.table(
        ("measure", "now", "surely between", "people", "before", "evidence", "alert"),
        [_row(each) for each in version["measures"]],
    )
    output.say("")


def _row(each: dict[str, Any]) -> tuple[object, ...]:
    now, before = each["now"], each["before"]
    measured = now["mean"] is not None
    return (
        each["measure"],
        f"{now['mean']:.1%} {each['about']}" if measured else None,
        f"{now['lower']:.1%} and {now['upper']:.1%}" if measured else None,
        now["count"],
        f"{before['mean']:.1%} of {before['count']}" if before["mean"] is not None else None,
        f"{each['evidence']:.3g} of {each['needed']:.3g}",
        each["alert"],
    )


def _sentence(text: str | None) -> str | None:
    return f"{text[0].upper()}{text[1:]}." if text else None
