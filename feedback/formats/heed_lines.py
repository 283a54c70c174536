"""What a line of Heed's own format must hold to be taken: every column, with a value that fits it.

A line that passes can be stored in both databases and shown by every export. Knows no file.
"""

from collections.abc import Callable
from types import GenericAlias
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, create_model
from sqlmodel import SQLModel

from feedback.formats import heed, logged
from feedback.models import Exchange, Feedback, Person, Receipt, Review, Status
from feedback.settings import PROJECT
from feedback.submission import first_fault

MOST = 2**31
"""PostgreSQL's integers have 32 bits."""


def checked(value: Any) -> tuple[str, dict[str, Any]]:
    """Return the kind of a line, and its columns.

    Raises:
        ValueError: it cannot be taken; says why.
        RecursionError: it is nested too deeply.
    """
    kind = str(value.get("type")) if isinstance(value, dict) else ""
    if kind not in _LINES:
        raise ValueError("no kind of line that Heed exports")
    try:
        line = _LINES[kind].model_validate({k: v for k, v in value.items() if k != "type"})
    except ValidationError as error:
        raise ValueError(first_fault(error, skip=())[0]) from error
    row = line.model_dump()
    if row["project_id"] != PROJECT:
        raise ValueError("of another project")
    if kind == "feedback" and row["exchange_id"] is None and row["conversation_id"] is None:
        raise ValueError("about nothing: neither an exchange nor a conversation")
    return kind, row


def _whole(number: int | None) -> None:
    if number is not None and not -MOST <= number < MOST:
        raise ValueError("too large a number for the database")


def _choice(number: int) -> None:
    _whole(number)
    if number < 0:
        raise ValueError("answers are counted from 0")


def _fitting(check: Callable[[Any], object]) -> AfterValidator:
    """Hold a value to a check, and leave it as it is."""

    def held(value: Any) -> Any:
        check(value)
        return value

    return AfterValidator(held)


_CHECKS: dict[str, Callable[[Any], object]] = {
    "messages": logged.messages,
    "choices": logged.choices,
    "body": logged.body,
    "choice": _choice,
}
"""The columns that are held to more than their type."""


def _column(name: str, annotation: Any) -> Any:
    checks: list[Callable[[Any], object]] = [logged.numbers]
    if name.endswith("_at"):
        checks = [logged.moment]
    elif annotation is int:
        checks = [_whole]
    if name in _CHECKS:
        checks.append(_CHECKS[name])
    for check in checks:
        annotation = Annotated[annotation, _fitting(check)]
    return annotation


def _line(kind: type[SQLModel], **more: Any) -> type[BaseModel]:
    """What a line must hold: every column of its table, and nothing else."""
    columns: dict[str, Any] = {
        name: (_column(name, column.annotation), ...)
        for name, column in kind.model_fields.items()
        if not more.get("beside") or name not in heed.BESIDE
    }
    columns |= {name: each for name, each in more.items() if name != "beside"}
    config = ConfigDict(extra="forbid", strict=True)
    return create_model(f"{kind.__name__}Line", __config__=config, **columns)


_ReceiptLine = _line(Receipt, beside=True, status=(Status, ...))
_ReviewLine = _line(Review, beside=True)
_LINES: dict[str, type[BaseModel]] = {
    "person": _line(Person),
    "exchange": _line(Exchange),
    "feedback": _line(
        Feedback,
        receipt=(_ReceiptLine, ...),
        reviews=(GenericAlias(list, (_ReviewLine,)), ...),
    ),
}
