"""Bytes to import, from a file, a gzipped file or standard input, with how far reading has come.

Knows no format.
"""

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from feedback.errors import Invalid

BUFFER_BYTES = 1 << 18
STDIN = "-"
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_OTHER_KINDS = {
    b"PAR1": "a Parquet file; write it as JSON Lines first",
    b"SQLite format 3\0": "an SQLite database; export its tables as JSON (`sqlite3 -json`)",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\x1f\x8b": "gzipped; give it a name that ends in .gz",
    b"%PDF": "a PDF",
}


class Source:
    """One stream of bytes.

    Args:
        name: what it is called in reports; one that ends in ``.gz`` is unpacked.
        raw: the bytes as stored.
        on_read: told how many stored bytes were read, whenever some were.
    """

    def __init__(
        self, name: str, raw: IO[bytes], on_read: Callable[[int], None] = lambda _: None
    ) -> None:
        self.name = name
        opened: Any = _Counted(raw, on_read)
        if name.endswith(".gz"):
            opened = gzip.GzipFile(fileobj=opened, mode="rb")
        self._stream = io.BufferedReader(opened, BUFFER_BYTES)

    def head(self) -> bytes:
        """Return the first bytes without taking them; the mark of UTF-8 is dropped.

        Raises:
            Invalid: another encoding, a kind of file that is not text, or broken compression.
        """
        with self._readable():
            head = self._stream.peek(BUFFER_BYTES)
        for mark, encoding in _OTHER_ENCODINGS.items():
            if head.startswith(mark):
                raise Invalid(f"{self.name} is written in {encoding}; save it as UTF-8.")
        for magic, kind in _OTHER_KINDS.items():
            if head.startswith(magic):
                raise Invalid(f"{self.name} is {kind}.")
        if head.startswith(codecs.BOM_UTF8):
            self._stream.read(len(codecs.BOM_UTF8))
            head = head.removeprefix(codecs.BOM_UTF8) or self.head()
        return head

    def lines(self, most_bytes: int) -> Iterator[bytes | None]:
        """Yield every line; None stands for one of more than `most_bytes`."""
        while line := self._line(most_bytes + 1):
            if len(line) <= most_bytes or line.endswith(b"\n"):
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = self._line(BUFFER_BYTES)
            yield None

    def chunks(self) -> Iterator[bytes]:
        """Yield everything, some bytes at a time."""
        while True:
            with self._readable():
                chunk = self._stream.read1(BUFFER_BYTES)
            if not chunk:
                return
            yield chunk

    def _line(self, most_bytes: int) -> bytes:
        with self._readable():
            return self._stream.readline(most_bytes)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Invalid(f"{self.name} is not what gzip writes ({error}).") from error
        except EOFError as error:
            raise Invalid(
                f"{self.name} ends in the middle of its compressed data; copy it again. The rows "
                "before were taken, and taking the whole file later doubles none of them."
            ) from error


class _Counted(io.RawIOBase):
    """Raw bytes that are counted on their way."""

    def __init__(self, raw: IO[bytes], on_read: Callable[[int], None]) -> None:
        self._raw = raw
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self._on_read(len(data))
        return len(data)


def expand(paths: list[str]) -> list[str]:
    """Return the files to read: a folder stands for every file below it, in order of their names.

    Raises:
        Invalid: a folder is empty, or standard input is named twice.
    """
    found: list[str] = []
    for path in paths:
        if path == STDIN or not Path(path).is_dir():
            found.append(path)
            continue
        below = [each for each in sorted(Path(path).rglob("*")) if each.is_file()]
        visible = [str(each) for each in below if not each.name.startswith(".")]
        if not visible:
            raise Invalid(f"The folder {path} holds no file.")
        found += visible
    if found.count(STDIN) > 1:
        raise Invalid("Standard input can be read once only.")
    return found


def size_bytes(paths: list[str]) -> int | None:
    """Return how many bytes are stored in these files; None where nobody knows."""
    if STDIN in paths:
        return None
    return sum(Path(path).stat().st_size for path in paths)


def opened(paths: list[str], on_read: Callable[[int], None]) -> Iterator[Source]:
    """Open files (or standard input, for ``-``) one after the other.

    Raises:
        OSError: one cannot be read.
        Invalid: one is empty.
    """
    for path in paths:
        if path == STDIN:
            yield _not_empty(Source("stdin", sys.stdin.buffer, on_read))
        else:
            # A name that is no text could not be reported.
            name = path.encode(errors="replace").decode()
            with Path(path).open("rb") as raw:
                yield _not_empty(Source(name, raw, on_read))


def _not_empty(source: Source) -> Source:
    if not source.head().strip():
        raise Invalid(f"{source.name} is empty: there is nothing to import.")
    return source
