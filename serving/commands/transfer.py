"""``heed feedback import`` and ``export``: what people said, from elsewhere and to elsewhere.

Knows no format: those are in `feedback.formats`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from feedback.errors import HeedError, Invalid
from feedback.formats.names import In, Out
from serving.commands import output

if TYPE_CHECKING:
    from rich.progress import Progress

    from feedback.formats.records import Skipped, Tally
    from feedback.store import Store
    from serving.settings import Settings

SHOWN = 20
"""So many skipped rows are told one by one; the others only by their reason."""


def take(
    ctx: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…", help="Files (gzipped ones end in .gz), folders, or - for stdin."
        ),
    ],
    *,
    shape: Annotated[In, typer.Option("--format", help="What wrote the files.")] = "heed",
    scale: Annotated[
        int | None,
        typer.Option(
            min=2, max=100, help="How far numeric ratings go, from 1, where the files do not say."
        ),
    ] = None,
    speaker: Annotated[
        str | None,
        typer.Option(
            "--user",
            help="Who speaks where the files name nobody; all such words are one account's.",
        ),
    ] = None,
    skipped: Annotated[
        Path | None,
        typer.Option(help="Write every row that is skipped here, a JSON line with the reason."),
    ] = None,
    as_json: output.Json = False,
) -> None:
    """Take in what people said elsewhere. Doing it twice takes nothing twice."""
    from feedback.formats import source
    from feedback.formats.records import Tally
    from serving.commands.opening import opened

    files = source.expand(paths)
    tally = Tally()
    with opened() as (settings, store), _noted(skipped, as_json, tally) as report:
        try:
            notes = _taken(
                store,
                settings,
                files,
                shape,
                scale=scale,
                speaker=speaker,
                tally=tally,
                report=report,
            )
        except (HeedError, OSError) as fault:
            if tally.read and not as_json:
                typer.echo(_summary(tally), err=True)
            told = fault if isinstance(fault, HeedError) else output.from_os(fault)
            output.fail(ctx, told, beside=_document(shape, tally))
    if as_json:
        output.document(_document(shape, tally))
    else:
        for line in (_summary(tally), *_reasons(tally), *notes):
            output.say(line)
    if tally.skipped and not tally.imported and not tally.duplicates:
        raise typer.Exit(1)  # a script should notice that nothing at all could be used


def export(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file to write, or - for stdout.")],
    shape: Annotated[
        Out,
        typer.Option("--format", help="heed: lossless; csv: for spreadsheets; or training data."),
    ] = "heed",
    kind: Annotated[
        str | None,
        typer.Option(
            "--type",
            help="trl: unpaired-preference (default), preference, prompt-completion, "
            "language-modeling, prompt-only, stepwise-supervision. openai: chat (default), "
            "preference.",
        ),
    ] = None,
    unreviewed: Annotated[
        bool,
        typer.Option(
            "--include-unreviewed", help="Training data: also what still waits for a reviewer."
        ),
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Write what people said, for Heed, for spreadsheets or for training elsewhere."""
    from feedback.formats import exporting
    from serving.commands.opening import opened

    if path == "-" and as_json:
        raise Invalid("With `-` the lines go to stdout, where --json has no room. Name a file.")
    with opened() as (_, store):
        if path == "-":
            import sys

            _write(store, sys.stdout, shape, kind, unreviewed)
            return
        with exporting.written(Path(path)) as file:
            numbers = _write(store, file, shape, kind, unreviewed)
    if as_json:
        output.document({"object": "feedback.export", "path": path, "format": shape, **numbers})
        return
    if shape == "heed":
        output.say(
            f"{path}: {numbers['exchanges']:,} exchanges, {numbers['feedback']:,} pieces of "
            f"feedback, {numbers['people']:,} people."
        )
        return
    output.say(f"{path}: {numbers['rows']:,} rows.")
    if numbers["unreviewed"]:
        output.say(
            f"{numbers['unreviewed']:,} pieces of feedback wait for a reviewer and are left out; "
            "--include-unreviewed takes them along."
        )


def _taken(
    store: "Store",
    settings: "Settings",
    files: list[str],
    shape: In,
    *,
    scale: int | None,
    speaker: str | None,
    tally: "Tally",
    report: Any,
) -> list[str]:
    """Import; returns what else should be said."""
    from feedback.formats import catalogue, importing, restoring, source
    from feedback.people import people_key

    key = people_key(settings.feedback.data_dir)
    with _bar("Importing", source.size_bytes(files), unit="bytes") as (bar, task):
        sources = source.opened(files, lambda count: bar.advance(task, count))
        if shape == "heed":
            if scale is not None or speaker is not None:
                raise Invalid("Heed's own format names people and scales: drop --scale and --user.")
            keys = restoring.load(store, sources, tally, report)
            return _strangers(keys, key.id)
        entries = catalogue.entries(shape, sources, scale=scale)
        voices = importing.Voices(key, shape, speaker)
        importing.load(store, settings.feedback, voices, entries, tally=tally, report=report)
    return []


def _strangers(keys: set[str], ours: str) -> list[str]:
    others = sorted(keys - {ours})
    if not others:
        return []
    note = (
        f"The people in there are hashed under another key ({', '.join(others)}): nobody will be "
        "recognised when they come back, unless people.key comes from the same data folder."
    )
    return [note]


@contextmanager
def _noted(path: Path | None, quiet: bool, tally: "Tally") -> Iterator[Any]:
    """What to do with a skipped row: to the file, and the first few to the screen."""
    file: IO[str] | None = None if path is None else path.open("w", encoding="utf-8")

    def report(row: "Skipped") -> None:
        why = f"{row.reason} ({row.detail})" if row.detail else row.reason
        if file is not None:
            found = {"source": row.place.source, "line": row.place.line, "reason": row.reason}
            file.write(json.dumps({**found, "detail": row.detail}) + "\n")
        if not quiet and tally.skipped <= SHOWN:
            typer.echo(f"{row.place.source}, {row.place.line:,}: {why}", err=True)
        elif not quiet and tally.skipped == SHOWN + 1:
            more = "" if file else "; --skipped FILE writes all of them down"
            typer.echo(f"… and more{more}.", err=True)

    try:
        yield report
    finally:
        if file is not None:
            file.close()


def _document(shape: In, tally: "Tally") -> dict[str, Any]:
    return {"object": "feedback.import", "format": shape, **vars(tally)}


def _summary(tally: "Tally") -> str:
    return (
        f"{tally.read:,} rows read: {tally.imported:,} imported ({tally.exchanges:,} exchanges, "
        f"{tally.feedback:,} pieces of feedback), {tally.duplicates:,} known already, "
        f"{tally.skipped:,} skipped."
    )


def _reasons(tally: "Tally") -> Iterator[str]:
    for reason, number in sorted(tally.reasons.items(), key=lambda each: -each[1]):
        yield f"  {number:>9,}  {reason}"


def _write(
    store: "Store", out: IO[str], shape: Out, kind: str | None, unreviewed: bool
) -> dict[str, int]:
    from feedback import receipts
    from feedback.formats import exporting, heed

    with store.session() as session:
        heed.freeze(store, session)
        numbers = heed.counts(session)
        waiting = receipts.counts(session)["review"]
        total = {"heed": numbers.total + 1, "csv": numbers.feedback + 1}.get(shape)
        written = 0
        with _bar("Exporting", total, unit="rows") as (bar, task):
            for text in exporting.texts(session, shape, kind=kind, unreviewed=unreviewed):
                out.write(text)
                written += 1
                bar.advance(task)
    if shape == "heed":
        return vars(numbers)
    left_out = 0 if unreviewed or shape == "csv" else waiting
    return {"rows": written - (shape == "csv"), "unreviewed": left_out}


@contextmanager
def _bar(title: str, total: int | None, *, unit: str) -> Iterator[tuple["Progress", Any]]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = output.screen(err=True)
    number = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn(title), BarColumn(), number, TimeRemainingColumn())
    with Progress(
        *columns, console=screen, transient=True, disable=not screen.is_terminal
    ) as progress:
        yield progress, progress.add_task(title, total=total)
