"""``heed pretrain``: a round that learns from documents, read here and trained like any other."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.commands import output

if TYPE_CHECKING:
    from trainer.documents import Section, Unread

LISTED_UNREAD = 200
"""A round's row names so many files that were not read; the command names all."""
_NAMED = 3


def pretrain(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Documents (txt, md, html, pdf, jsonl), or folders of them."
        ),
    ],
    as_json: output.Json = False,
) -> None:
    """Learn from documents: continued pre-training, judged like any other round.

    What cannot be read is named, line by line, and the rest is learned. Fails only where the round
    failed or was cancelled, or where nothing could be read.
    """
    from feedback.errors import Invalid
    from serving import auth, wire
    from serving.commands import round_report, round_run
    from serving.commands.opening import opened
    from trainer import documents, opening
    from trainer import pretrain as rounds

    with opened() as (settings, store):
        with store.session() as session:
            opening.vacant(session)  # before minutes are spent on reading
        plan = settings.trainer
        with output.bar("reading", counted=True) as report:
            reading = _Reading(
                documents.gather(
                    paths,
                    file_mb=plan.document_file_mb,
                    total_mb=plan.document_total_mb,
                    report=report,
                ),
                quiet=as_json,
            )
            try:
                sha256 = documents.freeze(
                    settings.feedback.data_dir / rounds.FOLDER, reading.sections()
                )
            except Invalid as fault:
                reasons = reading.reasons() if as_json else ""  # else they stand above it already
                raise Invalid(f"{fault.message}{reasons}", param="path") from fault
        with store.session(write=True) as session:
            row = rounds.open(session, plan, {"sha256": sha256, **reading.told()})
            auth.audit(session, actor="cli", action="round.start", subject=row.id)
            session.commit()
        row = round_run.attend(settings, store, row.id, quiet=as_json)
    if as_json:
        output.document(wire.round_(row))
    else:
        round_report.show(row)
    if row.state in ("failed", "cancelled"):
        raise typer.Exit(1)


class _Reading:
    """Passes sections on, and counts them and what was not read as they come by."""

    def __init__(self, found: "Iterator[Section | Unread]", *, quiet: bool) -> None:
        self._found = found
        self._quiet = quiet
        self._unread: list[Unread] = []
        self._files: set[str] = set()
        self._sections = self._characters = 0

    def sections(self) -> "Iterator[Section]":
        from trainer.documents import Unread

        for each in self._found:
            if isinstance(each, Unread):
                self._unread.append(each)
                if not self._quiet:
                    typer.echo(f"Not read: {each.path} {each.reason}.", err=True)
                continue
            self._files.add(each.file)
            self._sections += 1
            self._characters += len(each.text)
            yield each

    def reasons(self) -> str:
        """The first few reasons, for an error that has to stand alone."""
        said = "; ".join(f"{each.path} {each.reason}" for each in self._unread[:_NAMED])
        more = len(self._unread) - _NAMED
        return f" {said}{f'; and {more} more' if more > 0 else ''}." if said else ""

    def told(self) -> dict[str, Any]:
        """What the round's row says of it."""
        return {
            "files": len(self._files),
            "sections": self._sections,
            "characters": self._characters,
            "unread_count": len(self._unread),
            "unread": [
                {"path": each.path, "reason": each.reason} for each in self._unread[:LISTED_UNREAD]
            ],
        }
