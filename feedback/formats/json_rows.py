"""The rows of a JSON text, one in memory at a time: JSON Lines, one big array, or arrays in an object.

Knows no format. The standard library's decoder reads value after value from a window over the text;
the window grows only while a value does not fit, up to a limit.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from feedback.errors import Invalid
from feedback.formats.records import Place, Skipped
from feedback.formats.source import Source

MOST_BYTES = 32 << 20
"""One row beyond this is not read: memory must stay bounded whatever a file holds."""
TOO_LARGE = f"a row of more than {MOST_BYTES >> 20} MiB"
TOO_DEEP = "nested too deeply"
NOT_JSON = "not JSON"
CUT_LINE = "the file ends within this line"
# A number or a literal that the window cuts may look like a fault this close to its end.
_CUT = 64

# NaN and infinities are no JSON, and yet some tools write them for "no value".
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
# What a text may end with where a value of it goes on: of `true` the beginning, of `1.5e9` all but digits.
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_HALF = re.compile(r"\.|[eE][+-]?|\\?u?[0-9a-fA-F]{0,4}")
_SPACE = re.compile(r"[ \t\n\r]*")
_DOCUMENT = re.compile(rb"\s*\{\s*\n")


@dataclass(frozen=True)
class Row:
    """One value, where it stood, and the name of the array that it stood in (or "")."""

    place: Place
    value: Any
    array: str = ""


def rows(source: Source, arrays: frozenset[str] = frozenset()) -> Iterator[Row | Skipped]:
    """Yield every row of a source.

    A line of JSON Lines that is no JSON is skipped; inside an array a fault ends the import, since
    nobody can say where the next element begins.

    Args:
        source: the bytes.
        arrays: the keys of an outer object whose arrays hold the rows, such as ``data``.

    Raises:
        Invalid: the text ends too early or is no JSON; says where. Everything yielded before holds.
    """
    head = source.head()
    if head.lstrip().startswith(b"["):
        yield from _array(source)
    elif arrays and _is_envelope(head, arrays):
        yield from _envelope(source, arrays)
    elif _DOCUMENT.match(head):
        yield from _documents(source)
    else:
        yield from _lines(source)


def decoded(text: str) -> Any:
    """Read one JSON value.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_constant=lambda _: None)


def _lines(source: Source) -> Iterator[Row | Skipped]:
    for number, line in enumerate(source.lines(MOST_BYTES), 1):
        place = Place(source.name, number)
        if line is None:
            yield Skipped(place, TOO_LARGE)
            continue
        try:
            text = line.decode()
            if text.strip():
                yield Row(place, decoded(text))
        except UnicodeDecodeError as error:
            yield Skipped(place, "not UTF-8", f"at byte {error.start} of the line")
        except RecursionError:
            yield Skipped(place, TOO_DEEP)
        except ValueError as error:
            cut = not line.endswith(b"\n") and _ends_within(text, error)
            yield Skipped(place, NOT_JSON, f"{error}; {CUT_LINE}" if cut else str(error))


def _array(source: Source) -> Iterator[Row]:
    window = _Window(source)
    yield from _elements(window, source.name, 0, "")
    window.expect_end()


def _documents(source: Source) -> Iterator[Row]:
    """Values one after the other, each over several lines."""
    window = _Window(source)
    number = 0
    while window.next():
        number += 1
        yield Row(Place(source.name, number), window.value(number))


def _is_envelope(head: bytes, arrays: frozenset[str]) -> bool:
    """Whether an object begins whose first array (after plain values) is one of these."""
    names = b"|".join(re.escape(name.encode()) for name in sorted(arrays))
    plain = rb'"(?:[^"\\]|\\.)*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+)\s*,\s*'
    found = re.match(rb"\s*\{\s*(?:" + plain + rb'){0,20}"(?:' + names + rb')"\s*:\s*\[', head)
    return found is not None


def _envelope(source: Source, arrays: frozenset[str]) -> Iterator[Row]:
    window = _Window(source)
    number = 0
    while window.next() == "{":  # an API's pages may follow each other
        window.take("{")
        while window.next() != "}":
            key = window.value(number + 1)
            window.take(":")
            if key in arrays and window.next() == "[":
                for row in _elements(window, source.name, number, str(key)):
                    number = row.place.line
                    yield row
            else:
                window.value(number + 1)
            if window.next() == ",":
                window.take(",")
        window.take("}")
    window.expect_end()


def _elements(window: "_Window", name: str, number: int, array: str) -> Iterator[Row]:
    window.take("[")
    while window.next() not in ("]", ""):
        number += 1
        yield Row(Place(name, number), window.value(number), array)
        if window.next() == ",":
            window.take(",")
        elif window.next() not in ("]", ""):
            raise window.broken(number, "no comma follows it")
    window.take("]")


class _Window:
    """The part of a text that is being read."""

    def __init__(self, source: Source) -> None:
        self._name = source.name
        self._chunks = _texts(source)
        self._text = ""
        self._at = 0
        self._ended = False

    def next(self) -> str:
        """Return the next character that is no space, without taking it; "" at the end."""
        while True:
            self._at = _end(_SPACE.match(self._text, self._at))
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> None:
        """Take one character.

        Raises:
            Invalid: it is another.
        """
        if self.next() != expected:
            if not self.next():
                raise Invalid(
                    f"{self._name} ends too early: `{expected}` is missing. The rows before were "
                    "taken, and taking the whole file later doubles none of them."
                )
            raise Invalid(f"{self._name} is no JSON: `{expected}` expected, {self._near()}.")
        self._at += 1

    def value(self, number: int) -> Any:
        """Take one value, the `number`-th of its text.

        Raises:
            Invalid: it is no JSON, too large, or nested too deeply.
        """
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise self.broken(number, f"it is {TOO_DEEP}") from error
            except ValueError as error:
                place = getattr(error, "pos", self._at)
                cut = len(self._text) - place < _CUT or "Unterminated" in str(error)
                if cut and self._more():
                    continue
                if _ends_within(self._text, error):
                    raise Invalid(
                        f"{self._name} ends within item {number:,}. The rows before were taken, and "
                        "taking the whole file later doubles none of them."
                    ) from error
                self._at = place
                raise self.broken(number, str(error).partition(":")[0]) from error
            if self._may_go_on(value, end) and self._more():
                continue
            self._at = end
            return value

    def expect_end(self) -> None:
        """Check that only spaces are left.

        Raises:
            Invalid: there is more.
        """
        if self.next():
            raise Invalid(f"{self._name} goes on after its end, {self._near()}.")

    def broken(self, number: int, why: str) -> Invalid:
        """Return the fault of an item."""
        return Invalid(
            f"Item {number:,} of {self._name} is no JSON ({why}), {self._near()}. The rows before "
            "were taken; mend the file and import it again, which doubles none of them."
        )

    def _may_go_on(self, value: Any, end: int) -> bool:
        """Whether a number is cut by the end of the window: `1` and `1.` may become `1.5`."""
        rest = self._text[end : end + _CUT]
        return isinstance(value, int | float) and not rest.strip("+-.eE0123456789")

    def _near(self) -> str:
        return f"near {self._text[self._at : self._at + 40]!r}"

    def _more(self) -> bool:
        """Widen the window to twice what it holds, so that a long value is not read too often."""
        if self._ended:
            return False
        kept = [self._text[self._at :]]
        wanted = max(len(kept[0]), 1)
        if wanted > MOST_BYTES:
            raise Invalid(f"{self._name} holds {TOO_LARGE}, {self._near()}.")
        got = 0
        while got < wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
                break
            kept.append(chunk)
            got += len(chunk)
        if got:  # or else what was found in the text would lie elsewhere
            self._text, self._at = "".join(kept), 0
        return got > 0


def _texts(source: Source) -> Iterator[str]:
    """The source as text.

    Raises:
        Invalid: it is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    try:
        for chunk in source.chunks():
            text = decoder.decode(chunk)
            done += len(chunk)
            yield text
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{source.name} is not UTF-8 near byte {done + error.start:,}. The rows before were "
            "taken; save the file as UTF-8 and import it again, which doubles none of them."
        ) from error


def _ends_within(text: str, error: ValueError) -> bool:
    """Whether a text is no JSON for the one reason that it ends: whatever is in it could go on."""
    if "Unterminated" in str(error):
        return True
    rest = text[getattr(error, "pos", 0) :].strip()
    return any(word.startswith(rest) for word in _WORDS) or _HALF.fullmatch(rest) is not None


def _end(match: "re.Match[str] | None") -> int:
    return match.end() if match else 0
