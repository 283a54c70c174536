"""``heed up``: runs Heed until it is told to stop. Knows only the flags; `server` does the rest."""

from enum import StrEnum
from typing import Annotated

import typer

from serving.commands import output


class RoleName(StrEnum):
    """The roles of `serving.settings.Role`, named again so that asking for help loads no settings."""

    api = "api"
    console = "console"
    scheduler = "scheduler"


def up(
    ctx: typer.Context,
    role: Annotated[
        list[RoleName] | None,
        typer.Option(help="What this process does; may be repeated. Everything by default."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, in place of serving.host.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port, in place of serving.port; 0 takes a free one."),
    ] = None,
) -> None:
    """Run Heed until it is told to stop."""
    from feedback.errors import Forbidden
    from serving.app import ALL_ROLES
    from serving.commands import server
    from serving.settings import load

    flags = {"host": host, "port": port}
    given = {name: value for name, value in flags.items() if value is not None}
    settings = load(serving=given) if given else load()
    try:
        server.run(settings, roles=[each.value for each in role] if role else ALL_ROLES)
    except Forbidden as refusal:
        output.fail(ctx, refusal, exit_code=2)
