"""The steps that calls and deliveries are made of. Takes none of them itself: does no I/O.

What has to happen is written once, as generators that yield the next step and are sent its outcome;
`heed_client.client` takes the steps with threads, `heed_client.async_client` with asyncio. A step
that fails raises its `HeedError` where it was yielded.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """Send a request; the outcome is an `Answer`.

    Args:
        method: of HTTP.
        path: below the base URL.
        content: the body.
        kind: its content type.
    """

    method: str
    path: str
    content: bytes = field(default=b"", repr=False)
    kind: str = "application/json"


@dataclass(frozen=True)
class Pause:
    """Wait; the outcome is whether to go on (False: the client is closing)."""

    seconds: float


@dataclass(frozen=True)
class Rest:
    """Wait until something is enqueued, at most so long; the outcome is whether to go on."""

    seconds: float


@dataclass(frozen=True)
class Do:
    """Work on the disk; the outcome is what it returns. Never left half done."""

    work: Callable[[], Any]


@dataclass(frozen=True)
class Answer:
    """What the server answered; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Step: TypeAlias = Ask | Pause | Rest | Do
Steps: TypeAlias = Generator[Step, Any, T]


def ask(request: Ask) -> Steps[Answer]:
    """Send a request once.

    Raises:
        Unreachable: no answer came.
    """
    answer: Answer = yield request
    return answer


def wait(step: Pause | Rest) -> Steps[bool]:
    """Wait; returns whether to go on."""
    going_on: bool = yield step
    return going_on


def do(work: Callable[[], T]) -> Steps[T]:
    """Work on the disk."""
    result: T = yield Do(work)
    return result
