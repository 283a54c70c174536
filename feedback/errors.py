"""The errors Heed raises on purpose: each says what is wrong, with which id, and what to do.

Knows nothing of HTTP: a code names the kind of error, and `serving` maps codes to statuses.
"""

from typing import Literal

ErrorCode = Literal[
    "invalid",
    "too_large",
    "unsupported",
    "not_found",
    "conflict",
    "unauthorized",
    "forbidden",
    "unavailable",
    "full",
    "busy",
]


class HeedError(Exception):
    """An expected failure with a message for the person who can do something about it.

    Args:
        message: what is wrong and what to do, in one or two sentences.
        param: the field that is at fault, where there is one.
    """

    code: ErrorCode = "invalid"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class Invalid(HeedError):
    """The caller sent something that cannot be honoured."""


class TooLarge(HeedError):
    """The caller sent more than a setting allows."""

    code = "too_large"


class Unsupported(HeedError):
    """The caller sent it in a form that is not read here."""

    code = "unsupported"


class NotFound(HeedError):
    """No such thing under this id."""

    code = "not_found"


class Conflict(HeedError):
    """The request contradicts what is already recorded."""

    code = "conflict"


class Unauthorized(HeedError):
    """No valid key came with the request."""

    code = "unauthorized"


class Forbidden(HeedError):
    """The key is valid, its role does not allow this."""

    code = "forbidden"


class Unavailable(HeedError):
    """Heed cannot answer now; the same request may succeed later."""

    code = "unavailable"


class StorageFull(HeedError):
    """There is no room to write; nothing is changed, and it goes on once there is."""

    code = "full"


class DatabaseFull(StorageFull):
    """What there is no room for is a row of the database."""


class Busy(HeedError):
    """Too much is in flight, or was sent lately; come back later.

    Args:
        after_seconds: when that makes sense.
    """

    code = "busy"

    def __init__(self, message: str, *, param: str | None = None, after_seconds: int = 1) -> None:
        super().__init__(message, param=param)
        self.after_seconds = after_seconds
