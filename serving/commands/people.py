"""``heed people``: who signs in to the console, and as what. Knows no HTTP."""

from typing import Annotated, Literal

import typer

from serving.commands import output

RoleName = Literal["viewer", "reviewer", "operator", "admin"]
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `heed people list` shows it.")]
Given = Annotated[
    bool, typer.Option("--generate", help="Make a password and print it, instead of asking.")
]

app = typer.Typer(help="Who signs in to the console, and as what.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What they sign in with.")],
    role: Annotated[RoleName, typer.Option(help="What they may do.")] = "viewer",
    generate: Given = False,
    as_json: output.Json = False,
) -> None:
    """Make an account; asks for a password, or prints one, this once."""
    from serving import staffing, wire
    from serving.commands.opening import opened

    with opened() as (settings, store):
        password = _password(generate or as_json)
        with store.session(write=True) as session:
            row = staffing.add(
                session,
                actor="cli",
                name=name,
                role=role,
                password=password,
                memory_mib=settings.serving.password_memory_mib,
            )
            said = wire.account(row)
            session.commit()
    _tell(said, password, f"{name} may sign in as {role}.", generate=generate, as_json=as_json)


@app.command("list")
def index(as_json: output.Json = False) -> None:
    """List the accounts."""
    from serving import accounts, wire
    from serving.commands.opening import opened

    with opened() as (_, store), store.session() as session:
        found = [wire.account(row) for row in accounts.accounts(session)]
    if as_json:
        output.document(wire.page(found))
    elif not found:
        output.say(
            "Nobody signs in yet. `heed people create NAME --role admin` makes an account; until "
            "then, and while there is no API key, the console is open to this machine alone."
        )
    else:
        rows = [
            (row["name"], row["role"], row["sign_in"], output.moment(float(str(row["created_at"]))))
            for row in found
        ]
        output.table(("name", "role", "signs in by", "made"), rows)


@app.command("role")
def change_role(
    name: Name,
    role: Annotated[RoleName, typer.Argument(metavar="ROLE", help="What they may do from now on.")],
    as_json: output.Json = False,
) -> None:
    """Give an account another role; running servers know within a second."""
    from serving import accounts, staffing, wire
    from serving.commands.opening import opened

    with opened() as (_, store), store.session(write=True) as session:
        before = accounts.named(session, name).role
        row = staffing.change_role(session, actor="cli", name=name, role=role)
        said = wire.account(row)
        session.commit()
    if as_json:
        output.document(said)
    else:
        output.say(f"{name} is {role} now; it was {before}.")


@app.command("password")
def change_password(name: Name, generate: Given = False, as_json: output.Json = False) -> None:
    """Set a password anew; every browser of the account has to sign in again."""
    from serving import accounts, staffing, wire
    from serving.commands.opening import opened

    with opened() as (settings, store):
        with store.session() as session:
            accounts.named(session, name)
        password = _password(generate or as_json)
        with store.session(write=True) as session:
            row = staffing.change_password(
                session,
                actor="cli",
                name=name,
                password=password,
                memory_mib=settings.serving.password_memory_mib,
            )
            said = wire.account(row)
            session.commit()
    _tell(said, password, f"{name} has a new password.", generate=generate, as_json=as_json)


@app.command()
def remove(name: Name, as_json: output.Json = False) -> None:
    """Remove an account; it is signed out everywhere within a second."""
    from serving import staffing, wire
    from serving.commands.opening import opened

    with opened() as (_, store), store.session(write=True) as session:
        row = staffing.remove(session, actor="cli", name=name)
        said = wire.account(row)
        session.commit()
    if as_json:
        output.document(said)
    else:
        output.say(f"{name} is removed, and signed out everywhere.")


def _password(generate: bool) -> str:
    from serving.accounts import new_password

    if generate:
        return new_password()
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _tell(
    said: dict[str, object], password: str, words: str, *, generate: bool, as_json: bool
) -> None:
    if as_json:
        output.document({**said, "password": password})
        return
    if generate:
        output.say(password)
        words += " This is the password; it is not shown again."
    typer.echo(words, err=True)
