"""``heed config``: what is set, to what, and where that came from."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from serving.commands import output

if TYPE_CHECKING:
    from collections.abc import Sequence

Format = Literal["text", "markdown", "toml"]

app = typer.Typer(help="Look at the settings.", no_args_is_help=True)


@app.callback()
def _config() -> None:
    """Keeps `show` a command of its own while it is the only one."""


@app.command()
def show(
    shape: Annotated[
        Format,
        typer.Option(
            "--format",
            help="text: what is in force; markdown, toml: every setting with its default.",
        ),
    ] = "text",
    as_json: output.Json = False,
) -> None:
    """Show every setting, its value, where it came from and what it is for."""
    from feedback.errors import Invalid
    from serving.commands import settings_text
    from serving.settings import load

    if shape != "text":
        text = settings_text.markdown() if shape == "markdown" else settings_text.toml()
        typer.echo(text, nl=False)
        return
    try:
        settings = load()
    except Invalid:
        if not as_json:
            _table(
                [
                    (f"{each.section}.{each.name}", each.default, "default", each.description)
                    for each in settings_text.declared()
                ]
            )
        raise
    rows = settings_text.in_force(settings)
    if as_json:
        output.document({"object": "settings", "data": rows})
    else:
        _table([(row["name"], row["value"], row["source"], row["description"]) for row in rows])


def _table(rows: "Sequence[tuple[object, ...]]") -> None:
    output.table(
        ("setting", "value", "from", "what it is for"),
        [
            (name, "unset" if value is None else value, source, told)
            for name, value, source, told in rows
        ],
    )
