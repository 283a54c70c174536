"""How rows are checked: a base for their shapes, and field types that foreign tools write loosely.

Knows no format.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from feedback.formats.records import Unusable
from feedback.submission import first_fault

_MILLISECONDS = 1e11
"""A time beyond this is no second of any year near: it counts milliseconds, or finer."""


class Shape(BaseModel):
    """A row of which we read some fields and let the rest be."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), frozen=True)


ShapeT = TypeVar("ShapeT", bound=Shape)


def shaped(kind: type[ShapeT], row: Any) -> ShapeT:
    """Read a row.

    Raises:
        Unusable: a field is missing or of another type; names it.
    """
    if not isinstance(row, dict):
        raise Unusable("not an object", type(row).__name__)
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        message, _ = first_fault(error, skip=())
        raise Unusable(message) from error


def _ident(value: Any) -> Any:
    """Take numbers as names: database ids are."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def moment(value: Any) -> float | None:
    """Return a time as Unix seconds: seconds, milliseconds or finer, or ISO 8601 (UTC by default).

    Raises:
        ValueError: it is no time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            at = datetime.fromisoformat(value)
            value = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a time")  # noqa: TRY004 - pydantic takes a ValueError alone
    if not 0 <= value <= 1e22:
        raise ValueError("is no time")
    seconds = float(value)
    while seconds > _MILLISECONDS:
        seconds /= 1000
    return seconds


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float) and not abs(value) < 1e300:
        raise ValueError("is no finite number")
    return value


Ident = Annotated[str, BeforeValidator(_ident), Field(min_length=1)]
Moment = Annotated[float | None, BeforeValidator(moment)]
Number = Annotated[float, BeforeValidator(_number)]
