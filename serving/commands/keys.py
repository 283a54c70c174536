"""``heed keys``: API keys, and the key under which people's names are hashed. Knows no HTTP."""

from typing import Annotated, Literal

import typer

from serving.commands import output

RoleName = Literal["client", "reviewer", "admin"]

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command()
def create(
    role: Annotated[RoleName, typer.Option(help="What the key allows.")],
    name: Annotated[str, typer.Option(help="Whose it is, for the list.")] = "",
    as_json: output.Json = False,
) -> None:
    """Make a key and print it, this once."""
    from serving import staffing, wire
    from serving.commands.opening import opened

    with opened() as (_, store), store.session(write=True) as session:
        row, token = staffing.make_key(session, actor="cli", role=role, name=name)
        session.commit()
    if as_json:
        output.document({**wire.key(row), "key": token})
        return
    output.say(token)
    typer.echo(
        f"This is key {row.id} ({role}); it is not shown again. From now on every caller needs a "
        "key.",
        err=True,
    )


@app.command("list")
def index(as_json: output.Json = False) -> None:
    """List the keys, without the keys themselves."""
    from serving import auth, wire
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session() as session:
        rows = auth.keys(session)
    if as_json:
        output.document(wire.page([wire.key(row) for row in rows]))
    elif not rows:
        output.say(
            f"No keys in {settings.feedback.data_dir} yet, so Heed answers this machine alone, "
            "without one. `heed keys create --role client` makes one."
        )
    else:
        output.table(
            ("id", "role", "name", "made", "revoked"),
            [
                (
                    row.id,
                    row.role,
                    row.name,
                    output.moment(row.created_at),
                    output.moment(row.revoked_at),
                )
                for row in rows
            ],
        )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `heed keys list` shows it.")],
    as_json: output.Json = False,
) -> None:
    """Revoke a key; running servers refuse it within a second."""
    from serving import staffing, wire
    from serving.commands.opening import opened

    with opened() as (_, store), store.session(write=True) as session:
        row = staffing.revoke_key(session, actor="cli", key_id=key_id)
        session.commit()
    if as_json:
        output.document(wire.key(row))
    else:
        output.say(f"Key {row.id} is revoked; running servers refuse it within a second.")


@app.command("rotate-tokens")
def rotate_tokens(as_json: output.Json = False) -> None:
    """Sign feedback tokens with a fresh secret; those signed before stay valid until they expire."""
    from feedback.errors import Invalid
    from serving import auth, tokens
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session(write=True) as session:
        if settings.serving.token_secrets is not None:
            raise Invalid(
                "The secrets are given by serving.token_secrets: put a new one before the others "
                "there, and restart Heed.",
                param="serving.token_secrets",
            )
        name = tokens.rotate(settings.feedback.data_dir / tokens.KEY_FILE)
        auth.audit(session, actor="cli", action="tokens.rotate", subject=name)
        session.commit()
    if as_json:
        output.document({"id": name, "object": "token_secret"})
    else:
        output.say(
            f"Secret {name} signs feedback tokens once Heed is restarted; tokens signed with the "
            "one before stay valid until they expire."
        )


@app.command("rotate-people")
def rotate_people(as_json: output.Json = False) -> None:
    """Hash people's names under a fresh key from now on; whoever was known stays to be forgotten."""
    from feedback.people import people_key, rotate
    from serving import auth
    from serving.commands.opening import opened

    with opened() as (settings, store), store.session(write=True) as session:
        before = people_key(settings.feedback.data_dir)
        after = rotate(settings.feedback.data_dir)
        auth.audit(session, actor="cli", action="people.rotate", subject=after.id)
        session.commit()
    if as_json:
        keys = [key.id for key in after.older]
        output.document({"object": "people.key", "id": after.id, "older": keys})
        return
    output.say(
        f"Names are hashed under key {after.id} from now on, no longer under {before.id}. Start "
        "running servers again: until then they go on with the old key."
    )
    typer.echo(
        "Everybody is somebody new from then on: accounts have no age, and a vote from before "
        "cannot be replaced by one from after.",
        err=True,
    )
