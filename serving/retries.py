"""What was asked lately, so that a client's retry is not logged a second time.

OpenAI's own client sends no idempotency key: a retry is the same body with a count of retries
above zero, and that is what it is known by. Other clients may send `Idempotency-Key`. Memory of
this process only: a retry that reaches another replica, or comes after a restart, is a new request.
Knows nothing of answers.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlmodel import Session

from feedback import privacy
from feedback.models import Exchange
from feedback.settings import FeedbackSettings

KEPT_SECONDS = 600.0
KEPT = 256

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Mark:
    """What a request is known by.

    Attributes:
        may_repeat: whether it says that it may have been sent before.
        named: whether the client itself gave it a key.
    """

    name: str
    may_repeat: bool
    named: bool


def mark(headers: Mapping[str, str], body: bytes, *origin: str | None) -> Mark:
    """Return what a request is known by.

    Args:
        origin: where it came from and went to; the same body from elsewhere is another request.
    """
    named = headers.get("idempotency-key")
    count = headers.get("x-stainless-retry-count", "0")
    digest = hashlib.sha256(repr((origin, named)).encode() + body)
    return Mark(digest.hexdigest(), bool(named) or count not in ("", "0"), bool(named))


class Recent(Generic[Kept]):
    """The last few requests by their marks."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Kept]] = OrderedDict()

    def find(self, asked: Mark) -> Kept | None:
        """Return the earlier request that this one repeats, if it does."""
        if not asked.may_repeat or asked.name not in self._kept:
            return None
        at, found = self._kept[asked.name]
        return found if time.monotonic() - at < KEPT_SECONDS else None

    def keep(self, asked: Mark, what: Kept) -> None:
        """Remember a request; the same mark again replaces it."""
        self._kept[asked.name] = (time.monotonic(), what)
        self._kept.move_to_end(asked.name)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def replace_partial(session: Session, exchange: Exchange, settings: FeedbackSettings) -> None:
    """Put a whole answer where the one is that its client gave up on. The caller commits."""
    session.merge(privacy.stored_exchange(exchange, settings))
