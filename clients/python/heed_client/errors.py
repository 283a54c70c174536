"""The errors of this client, each with what is wrong and what to do. Knows no request.

The names are those of Heed's own codes; one that the server sent carries its words.
"""

import json
from collections.abc import Mapping
from typing import Any

QUOTED_CHARACTERS = 200


class HeedError(Exception):
    """An expected failure.

    Args:
        message: what is wrong and what to do.
        param: the field that is at fault, where there is one.
        code: the kind of error; the class's own, unless the server named another.
        status: the HTTP status of the answer; None where there was none.
        retry_after_seconds: how long the server asked to be left alone.
    """

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class Invalid(HeedError):
    """What was said makes no sense; `param` names the field. Sending it again will not help."""

    code = "invalid"


class TooLarge(Invalid):
    """More than the server takes."""

    code = "too_large"


class Unauthorized(HeedError):
    """No valid key came with the request."""

    code = "unauthorized"


class Forbidden(HeedError):
    """The key is valid and may not do this."""

    code = "forbidden"


class NotFound(HeedError):
    """There is no such completion, feedback or route."""

    code = "not_found"


class Conflict(HeedError):
    """It contradicts what is on record."""

    code = "conflict"


class Busy(HeedError):
    """Too much at once; the same may succeed later."""

    code = "busy"


class Unavailable(HeedError):
    """The server cannot answer now; the same may succeed later."""

    code = "unavailable"


class Unreachable(Unavailable):
    """No answer came: no connection, or none in time."""

    code = "unreachable"


class TimedOut(Unreachable):
    """The server was reached and did not answer in time; it may have taken the request in."""

    code = "timed_out"


class Unexpected(HeedError):
    """An answer that is not Heed's; `base_url` may name something else."""

    code = "unexpected"


class QueueFull(HeedError):
    """The queue on disk holds as much as it may; this piece of feedback was not taken."""

    code = "queue_full"


class QueueFailed(HeedError):
    """The disk did not keep it; this piece of feedback was not taken."""

    code = "queue_failed"


class Closed(HeedError):
    """The client was closed, or belongs to another process."""

    code = "closed"


_OF_STATUS: dict[int, type[HeedError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    413: TooLarge,
    425: Unavailable,
    429: Busy,
}


def of_answer(status: int, body: bytes, retry_after_seconds: float | None = None) -> HeedError:
    """Return the error that an answer is, in the server's words where it has any.

    Args:
        status: of the answer, or of one line of it.
        body: its bytes, with `{"error": {"message", "type", "param", "code"}}` in them or anything.
        retry_after_seconds: what its header said.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    said = data.get("error") if isinstance(data, dict) else None
    if not isinstance(said, Mapping) or not isinstance(said.get("message"), str):
        quoted = body.decode(errors="replace")[:QUOTED_CHARACTERS].strip()
        said = {"message": f"HTTP {status} without a word of Heed's: {quoted!r}"}
    return _kind(status)(
        _whole(said["message"]),
        param=_text(said.get("param")),
        code=_text(said.get("code")),
        status=status,
        retry_after_seconds=retry_after_seconds,
    )


def is_temporary(fault: HeedError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(fault, Unavailable | Busy)


def _kind(status: int) -> type[HeedError]:
    if status >= 500:
        return Unavailable
    return _OF_STATUS.get(status, Invalid if 400 <= status < 500 else Unexpected)


def _text(value: Any) -> str | None:
    return _whole(value) if isinstance(value, str) else None


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which an answer can quote and no file can hold."""
    return text.encode(errors="replace").decode()
