"""The `heed` command: gathers the commands, and says faults in one line. Knows what none of them does.

Importing this, and asking for help, loads neither a database nor a web framework nor torch: every
command imports what it needs once it runs.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from feedback.errors import HeedError, Invalid
from serving.commands import (
    adapters,
    canary,
    config,
    database,
    demo,
    doctor,
    feedback,
    forget,
    insights,
    keys,
    ledger,
    models,
    output,
    people,
    pretrain,
    rounds,
    suites,
    up,
    watch,
)


class _Heed(TyperGroup):
    """The root of the commands; what goes wrong below it on purpose ends here."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HeedError as fault:
            output.fail(ctx, fault)
        except OSError as fault:
            output.fail(ctx, output.from_os(fault))
        except UnicodeEncodeError as fault:
            if not any("\udc80" <= letter <= "\udcff" for letter in str(fault.object)):
                raise
            # What the shell passed on byte by byte may name a file, and nothing else.
            output.fail(ctx, Invalid("An argument is no valid UTF-8; type it anew."))


app = typer.Typer(
    name="heed",
    cls=_Heed,
    help="The chatbot that learns from its users. Start with `heed demo`, or `heed up`.",
    no_args_is_help=True,
    # Plain help: boxes cost a third of a second, and the answer has to be there at once.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(up.up)
app.add_typer(rounds.app, name="round")
app.command()(pretrain.pretrain)
app.add_typer(adapters.app, name="adapters")
app.command()(canary.canary)
app.add_typer(watch.app, name="watch")
app.add_typer(suites.app, name="suite")
app.add_typer(insights.app, name="insights")
app.add_typer(ledger.app, name="ledger")
app.add_typer(feedback.app, name="feedback")
app.command()(feedback.receipt)
app.command()(forget.forget)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(people.app, name="people")
app.add_typer(database.app, name="db")
app.add_typer(config.app, name="config")
app.command()(doctor.doctor)


def main() -> None:
    """Run the command line."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"heed {version('heed')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Read what stands before the command."""
