"""Documents as sections of plain text: what can be read is, and what cannot is named with its reason.

Only the paths it is given are opened, and no link is followed out of a folder. Knows no tokenizer,
no database and no model.
"""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from feedback.durable import sync
from feedback.errors import Invalid
from trainer import document_formats as formats
from trainer.document_formats import Part, Unreadable

_MB = 1_000_000
_BLOCK_BYTES = 1 << 20
_READERS: dict[str, Callable[[Path], Iterator[Part]]] = {
    ".txt": formats.text,
    ".text": formats.text,
    ".md": formats.markdown,
    ".markdown": formats.markdown,
    ".html": formats.html,
    ".htm": formats.html,
    ".pdf": formats.pdf,
}
_ROWS = ".jsonl"
_ROW_NUMBER = re.compile(r"(\.jsonl):\d+$", re.IGNORECASE)
KINDS = (*_READERS, _ROWS)
"""What can be read, by the end of the name."""
_SHOWN_KINDS = "txt, md, html, pdf and jsonl"
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t\x85"}
_CONTROLS |= dict.fromkeys((0xAD, 0xFEFF))  # a hyphen that is not shown, a byte order mark


@dataclass(frozen=True)
class Section:
    """One piece of a document under one heading.

    Attributes:
        document: the file's name as it was given, with the line's number for a row of JSONL.
        sha256: of the file's bytes; of the line's for a row.
        number: which section of the document it is, from 0.
        title: of the document.
        headings: from the outermost to the one above the text.
        text: paragraphs, with an empty line between them.
    """

    document: str
    sha256: str
    number: int
    title: str
    headings: tuple[str, ...]
    text: str

    @property
    def file(self) -> str:
        """The file that it is from: the document's name without a row's number."""
        return _ROW_NUMBER.sub(r"\1", self.document)


@dataclass(frozen=True)
class Unread:
    """What was not read, and why."""

    path: str
    reason: str


def find(paths: Sequence[Path]) -> tuple[list[Path], list[Unread]]:
    """Return the files that the paths name, in a fixed order, and what of them is no document.

    A folder is searched to its bottom; hidden files and links in it are left alone.
    """
    found: dict[Path, None] = {}
    unread: list[Unread] = []
    for path in paths:
        if path.is_file():
            if path.suffix.lower() in KINDS:
                found.setdefault(path)
            else:
                unread.append(Unread(str(path), f"is none of {_SHOWN_KINDS}"))
        elif path.is_dir():
            files, others, closed = _walk(path)
            found.update(dict.fromkeys(files))
            unread += [Unread(str(path), f"has {each}") for each in others]
            unread += [Unread(name, "may not be opened") for name in closed]
            if not files:
                unread.append(Unread(str(path), f"holds no document ({_SHOWN_KINDS})"))
        else:
            unread.append(Unread(str(path), "does not exist"))
    return list(found), unread


def read(path: Path, *, most_mb: float) -> Iterator[Section | Unread]:
    """Read one document, section by section; a row of JSONL that is none is one line of `Unread`.

    A text, Markdown, HTML or PDF file is held in memory, hence its limit; JSONL is read line by line
    and the limit holds for each line.

    Args:
        path: a file that `find` gave.
        most_mb: how large it may be, in millions of bytes.
    """
    try:
        if path.suffix.lower() == _ROWS:
            yield from _rows(path, most_bytes=int(most_mb * _MB))
            return
        size_mb = path.stat().st_size / _MB
        if size_mb > most_mb:
            raise Unreadable(
                f"is {size_mb:.1f} MB large, and {most_mb:g} are allowed; split it, or raise "
                "trainer.document_file_mb"
            )
        sha256 = _sha256(path)
        number = 0
        for part in _READERS[path.suffix.lower()](path):
            if text := clean(part.text):
                title = clean(part.title) or path.stem.replace("_", " ").replace("-", " ")
                headings = tuple(filter(None, map(clean, part.headings)))
                yield Section(str(path), sha256, number, title, headings, text)
                number += 1
        if not number:
            raise Unreadable("holds no text")
    except Unreadable as reason:
        yield Unread(str(path), str(reason))
    except OSError as error:
        yield Unread(str(path), f"cannot be read: {error.strerror or error}")


def gather(
    paths: Sequence[Path],
    *,
    file_mb: float,
    total_mb: float,
    report: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Iterator[Section | Unread]:
    """Read everything that the paths name, one section at a time.

    Args:
        paths: files and folders.
        file_mb: limit of one file, in millions of bytes.
        total_mb: limit of all text together; files beyond it are named as unread.
        report: told how many files are done, of how many, and the one that comes.
    """
    files, unread = find(paths)
    yield from unread
    left = total_mb * _MB
    for done, path in enumerate(files):
        report(done, len(files), path.name)
        if left <= 0:
            yield Unread(str(path), f"not read: the {total_mb:g} MB of text in one round are full")
            continue
        for section in read(path, most_mb=file_mb):
            if isinstance(section, Section):
                if left <= 0:
                    why = f"read in part: the {total_mb:g} MB of text in one round are full"
                    yield Unread(str(path), why)
                    break
                left -= len(section.text.encode())
            yield section
    report(len(files), len(files), "")


def freeze(folder: Path, sections: Iterator[Section]) -> str:
    """Write sections to a file that is named by its SHA-256, and return that; memory stays flat.

    Raises:
        Invalid: there is no section.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / f"{os.getpid()}.part"
    whole = hashlib.sha256()
    count = 0
    try:
        with staging.open("wb") as file:
            for section in sections:
                line = f"{json.dumps(asdict(section), sort_keys=True)}\n".encode()
                whole.update(line)
                file.write(line)
                count += 1
        if not count:
            raise Invalid(
                f"None of what was named could be read. Heed reads {_SHOWN_KINDS}, and folders of "
                "them.",
                param="path",
            )
        sync(staging)
        os.replace(staging, frozen(folder, whole.hexdigest()))
        sync(folder)
    finally:
        staging.unlink(missing_ok=True)
    return whole.hexdigest()


def frozen(folder: Path, sha256: str) -> Path:
    """Return where frozen documents of this hash lie."""
    return folder / f"{sha256}.jsonl"


def thaw(folder: Path, sha256: str) -> list[Section]:
    """Return frozen sections.

    Raises:
        Invalid: they are gone, or not those that were frozen.
    """
    path = frozen(folder, sha256)
    if not path.is_file() or _sha256(path) != sha256:
        raise Invalid(
            f"The documents in {path} are gone or were changed after they were read. Run "
            "`heed pretrain` with their paths again."
        )
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Section(**{**row, "headings": tuple(row["headings"])}) for row in rows]


def clean(text: str) -> str:
    """Return a text without control characters, in Unicode's composed form, at most one line empty."""
    whole = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    whole = whole.translate(_CONTROLS).encode("utf-8", "ignore").decode()
    lines = [line.rstrip() for line in whole.split("\n")]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    return "\n".join(kept).strip("\n")


def _walk(folder: Path) -> tuple[list[Path], list[str], list[str]]:
    """The documents below a folder, how many other files there are of which kind, what is closed."""
    files: list[Path] = []
    others: dict[str, int] = {}
    closed: list[str] = []
    for place, folders, names in os.walk(folder, onerror=lambda e: closed.append(str(e.filename))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            if path.suffix.lower() in KINDS:
                files.append(path)
            else:
                kind = path.suffix.lower() or "without an ending"
                others[kind] = others.get(kind, 0) + 1
    told = [f"{n} file(s) {kind} that Heed does not read" for kind, n in sorted(others.items())]
    return files, told, closed


def _rows(path: Path, *, most_bytes: int) -> Iterator[Section | Unread]:
    read_any = False
    with path.open("rb") as file:
        number = 0
        while line := file.readline(most_bytes + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > most_bytes:
                yield Unread(where, f"is longer than {most_bytes / _MB:g} MB")
                while line and not line.endswith(b"\n"):
                    line = file.readline(_BLOCK_BYTES)
                continue
            if not line.strip():
                continue
            section = _row(line, where, path)
            read_any |= isinstance(section, Section)
            yield section
    if not read_any:
        raise Unreadable("holds no row with a text")


def _row(line: bytes, where: str, path: Path) -> Section | Unread:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Unread(where, "is no JSON in UTF-8")
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        return Unread(where, "has no `text`")
    text = clean(row["text"])
    if not text:
        return Unread(where, "has an empty `text`")
    title = row.get("title")
    title = clean(title) if isinstance(title, str) else ""
    return Section(where, hashlib.sha256(line).hexdigest(), 0, title, (), text)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
