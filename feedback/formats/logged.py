"""What an exchange and what was said of it must look like, so that every export can show them.

Whatever comes back from a file is held to this, and exports leave out what an older row lacks. Knows no
format, no file and no table.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

ROLES = ("system", "user", "assistant", "tool")
_DAY = timedelta(days=1)
# A day less at either end, since clocks elsewhere are ahead of UTC or behind it.
_EARLIEST = (datetime.min.replace(tzinfo=UTC) + _DAY).timestamp()
_LATEST = (datetime.max.replace(tzinfo=UTC) - _DAY).timestamp()


def messages(value: Sequence[Any]) -> None:
    """Check a conversation; one whose text is gone has no messages.

    Raises:
        ValueError: a message is not as Heed logs it; says which.
    """
    for number, message in enumerate(value, 1):
        if fault := _message_fault(message):
            raise ValueError(f"message {number} has {fault}")


def choices(value: Sequence[Any]) -> None:
    """Check the answers.

    Raises:
        ValueError: there is none, or one is not as Heed logs it; says which.
    """
    if not value:
        raise ValueError("there is no answer")
    for number, choice in enumerate(value, 1):
        if fault := _choice_fault(choice):
            raise ValueError(f"answer {number} has {fault}")


def body(value: Mapping[str, Any]) -> None:
    """Check what was said; of what was forgotten nothing is left.

    Raises:
        ValueError: a part of it is not as Heed logs it; says which.
    """
    survey, reasons, comment = (value.get(name) for name in ("survey", "reasons", "comment"))
    if survey is not None and not isinstance(survey, Mapping):
        raise ValueError("`survey` is no object of questions and answers")
    if reasons is not None and not (
        isinstance(reasons, list) and all(isinstance(reason, str) for reason in reasons)
    ):
        raise ValueError("`reasons` is no list of texts")
    if comment is not None and not isinstance(comment, str):
        raise ValueError("`comment` is no text")


def moment(seconds: float) -> datetime:
    """Return Unix seconds as a time in UTC.

    Raises:
        ValueError: no calendar shows it.
    """
    if not _EARLIEST <= seconds <= _LATEST:
        raise ValueError("no time between the years 1 and 9999")
    return datetime.fromtimestamp(seconds, UTC)


def numbers(value: Any) -> None:
    """Check every number within a value: JSON has no infinite ones.

    Raises:
        ValueError: one is infinite.
        RecursionError: it is nested too deeply.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number in it is too large")
    elif isinstance(value, Mapping):
        for each in value.values():
            numbers(each)
    elif isinstance(value, list | tuple):
        for each in value:
            numbers(each)


def answer(found: Sequence[Any], index: int) -> Mapping[str, Any] | None:
    """Return one of the answers to a prompt, or None where it cannot be read."""
    if not 0 <= index < len(found) or _choice_fault(found[index]):
        return None
    choice: Mapping[str, Any] = found[index]
    return choice


def readable(conversation: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return the messages of a conversation that can be read."""
    return [message for message in conversation if not _message_fault(message)]


def _message_fault(message: Any) -> str | None:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        return f"no `role` of {', '.join(ROLES)}"
    return None if isinstance(message.get("content"), str) else "no text as its `content`"


def _choice_fault(choice: Any) -> str | None:
    if not isinstance(choice, Mapping) or not isinstance(choice.get("text"), str):
        return "no `text`"
    steps = choice.get("steps", [])
    if isinstance(steps, list) and all(isinstance(step, str) for step in steps):
        return None
    return "`steps` that are no list of texts"
