"""Which texts a store can hold, wherever in a row they are. Knows no format."""

from collections.abc import Iterator
from typing import Any

from feedback.formats.records import Unusable

NUL = "a text holds a NUL character"
SURROGATE = "a text holds half of a surrogate pair, which is no valid Unicode"


def size_bytes(text: str) -> int:
    """Return how long a text is in UTF-8.

    Raises:
        Unusable: it cannot be kept: PostgreSQL refuses a NUL, and half a surrogate pair is no Unicode.
    """
    if "\x00" in text:
        raise Unusable(NUL)
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise Unusable(SURROGATE) from error


def strings(value: Any) -> Iterator[str]:
    """Yield every text within a value, keys included.

    Raises:
        RecursionError: it is nested too deeply.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)
