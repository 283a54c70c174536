"""How every command speaks: tables for people, one JSON document for programs. Knows no command."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from feedback.errors import HeedError, Unavailable

if TYPE_CHECKING:
    from rich.console import Console

_JSON = "heed.json"
_PIPED_WIDTH = 240


def _remember(ctx: typer.Context, wanted: bool) -> bool:
    ctx.meta[_JSON] = wanted
    return wanted


Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document and nothing else.", callback=_remember),
]


def document(data: Any) -> None:
    """Print the one JSON document of a command."""
    typer.echo(json.dumps(data, indent=2))


def say(text: str) -> None:
    """Print a line for a person."""
    typer.echo(text)


def fail(
    ctx: typer.Context,
    fault: HeedError,
    *,
    exit_code: int = 1,
    beside: Mapping[str, Any] | None = None,
) -> NoReturn:
    """End the command with a fault: a line on stderr and, with ``--json``, a document too.

    Args:
        ctx: of the command.
        fault: what went wrong.
        exit_code: what the command ends with.
        beside: what the document says besides: of what was done before.

    Raises:
        typer.Exit: always.
    """
    if ctx.meta.get(_JSON):
        from serving import wire

        document({**(beside or {}), **wire.error(fault)})
    typer.echo(f"Error: {fault.message}", err=True)
    raise typer.Exit(exit_code) from fault


def from_os(fault: OSError) -> HeedError:
    """Return what the operating system refused as a fault with a name in it."""
    place = f"{fault.filename}: " if fault.filename else ""
    return Unavailable(f"{place}{fault.strerror or fault}.")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows; the first column holds names, and is never broken."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        made.add_column(name, no_wrap=index == 0, overflow="fold")
    for row in rows:
        # As text: what people wrote must not be taken for markup.
        made.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    screen().print(made)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names with their values, those that are None left out."""
    known = [(name, value) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        say(f"{name:<{width}}  {value}")


@contextmanager
def bar(
    title: str = "", *, counted: bool = False, quiet: bool = False
) -> Iterator[Callable[[float, float, str], None]]:
    """Show on a terminal how far long work is; elsewhere nothing.

    Args:
        title: what is done.
        counted: things are counted; otherwise the share is shown in percent.
        quiet: show nothing on a terminal either.

    Yields:
        What is to be told how much is done, of how much, and what comes now.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
    )

    console = screen(err=True)
    with Progress(
        *((TextColumn(title),) if title else ()),
        BarColumn(),
        MofNCompleteColumn() if counted else TaskProgressColumn(),
        # Not as markup: it may name a file.
        TextColumn("{task.description}", markup=False),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=None)

        def report(done: float, total: float, told: str) -> None:
            progress.update(task, completed=done, total=total, description=told)

        yield report


def screen(*, err: bool = False) -> "Console":
    """Return where tables and bars go; a pipe is wide, so that nothing is broken in it."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else _PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False)


def moment(seconds: float | None) -> str | None:
    """Return Unix seconds as this machine's clock shows them."""
    if seconds is None:
        return None
    from datetime import datetime

    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
