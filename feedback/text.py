"""What counts as text that can be kept, what somebody asked, and a number with its noun.

Knows nothing of where it goes.
"""

from collections.abc import Iterable, Mapping

from feedback.errors import Invalid, TooLarge


def checked(text: str, param: str, *, max_bytes: int) -> str:
    """Return `text` if every store and every model can hold it.

    Raises:
        Invalid: a NUL (PostgreSQL refuses it) or half a surrogate pair (no valid Unicode).
        TooLarge: more than `max_bytes` in UTF-8.
    """
    if "\x00" in text:
        raise Invalid(f"`{param}` contains a NUL character; remove it.", param=param)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Invalid(
            f"`{param}` contains half of a surrogate pair at character {error.start}, which is no "
            "valid Unicode; send the whole character.",
            param=param,
        ) from error
    if size > max_bytes:
        raise TooLarge(
            f"`{param}` has {size:,} bytes; at most {max_bytes:,} are kept "
            "(feedback.max_text_bytes).",
            param=param,
        )
    return text


def questions(messages: Iterable[Mapping[str, object]]) -> list[str]:
    """Return what a person said in a conversation, oldest first."""
    return [str(each["content"]) for each in messages if each["role"] == "user"]


def counted(number: int, noun: str) -> str:
    """Return a number with a noun that takes an s: ``1 item``, ``2,000 items``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
