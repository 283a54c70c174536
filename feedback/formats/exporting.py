"""Writes exports: the rows of a format as text, to a file that appears whole or not at all.

Knows no format's shapes and no screen.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlmodel import Session

from feedback.errors import Invalid
from feedback.formats import accepted, heed, openai, sharegpt, spreadsheet, trl
from feedback.formats.accepted import Word
from feedback.formats.names import Out

KINDS: dict[Out, tuple[str, ...]] = {"trl": trl.KINDS, "openai": openai.KINDS}
"""What a format can hold, the default first; a format that is not here holds one kind of row."""


def texts(
    session: Session, name: Out, *, kind: str | None = None, unreviewed: bool = False
) -> Iterator[str]:
    """Yield an export line by line, a page of rows in memory at a time.

    Args:
        session: one that sees a single moment (`heed.freeze`).
        name: the format.
        kind: one of the format's `KINDS`.
        unreviewed: take along what still waits for a reviewer; ``heed`` and ``csv`` hold all anyway.

    Raises:
        Invalid: the format holds no such kind.
    """
    known = KINDS.get(name, ())
    if kind is not None and kind not in known:
        raise Invalid(
            f"{name} has no type {kind!r}; "
            + (f"choose {', '.join(known)}." if known else "drop it."),
            param="type",
        )
    if name == "csv":
        yield from spreadsheet.export(session)
        return
    rows = heed.export(session) if name == "heed" else _trained(session, name, kind, unreviewed)
    for row in rows:
        yield json.dumps(row) + "\n"


@contextmanager
def written(path: Path) -> Iterator[IO[str]]:
    """Open a file beside its place, and put it there once all of it is on the disk.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        # As text with the ends of lines as they are given: CSV brings its own.
        with staging.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def _trained(
    session: Session, name: Out, kind: str | None, unreviewed: bool
) -> Iterator[dict[str, Any]]:
    """The rows of a training format."""
    wanted: Any = kind or KINDS.get(name, ("",))[0]
    prompt = None
    for word in accepted.words(session, unreviewed=unreviewed):
        if wanted == "prompt-only":
            if word.messages == prompt:
                continue  # words about one exchange follow each other
            prompt = word.messages
        yield from _rows(word, name, wanted)


def _rows(word: Word, name: Out, kind: Any) -> Iterator[dict[str, Any]]:
    if name == "trl":
        return trl.write(word, kind)
    if name == "openai":
        return openai.write(word, kind)
    return sharegpt.write(word)
