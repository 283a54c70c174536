"""When an engine counts as dead, how it is let go, and how often another may be started.

Knows nothing of requests or adapters.
"""

import asyncio
import logging
import time
from collections import deque

from serving.engines.base import Engine

log = logging.getLogger("heed.engine")

WINDOW_SECONDS = 60.0
LETTING_GO_SECONDS = 10.0
"""A dead engine that does not stop within this time is left behind."""


class Restarts:
    """The attempts of the last minute, and how long to wait before the next.

    Args:
        most: attempts within a minute.
        backoff_seconds: pause before the first; doubles with each within the minute.
        max_backoff_seconds: the longest pause.
    """

    def __init__(self, most: int, backoff_seconds: float, max_backoff_seconds: float) -> None:
        self._most = most
        self._backoff_seconds = backoff_seconds
        self._max_backoff_seconds = max_backoff_seconds
        self._begun: deque[float] = deque()

    @property
    def lately(self) -> int:
        """Attempts within the last minute."""
        while self._begun and time.monotonic() - self._begun[0] > WINDOW_SECONDS:
            self._begun.popleft()
        return len(self._begun)

    @property
    def spent(self) -> bool:
        """Whether there have been too many."""
        return self.lately >= self._most

    async def pause(self) -> None:
        """Wait until the next attempt is due, and count it."""
        seconds = self._backoff_seconds * 2.0**self.lately
        await asyncio.sleep(min(seconds, self._max_backoff_seconds))
        self._begun.append(time.monotonic())


def fault(engine: Engine) -> str | None:
    """Why the engine counts as dead; None where it lives."""
    try:
        health = engine.health()
    # An engine that cannot even say how it is, is not well.
    except Exception as error:  # noqa: BLE001
        return repr(error)
    return None if health.ready else health.detail


async def let_go(engine: Engine) -> None:
    """Stop an engine of which nothing can be expected any more."""
    stopping = asyncio.ensure_future(engine.stop())
    done, _ = await asyncio.wait({stopping}, timeout=LETTING_GO_SECONDS)
    if not done:
        stopping.cancel()
        log.error("an engine did not stop within %.0f s and is left behind", LETTING_GO_SECONDS)
    elif not stopping.cancelled() and (error := stopping.exception()) is not None:
        log.error("an engine did not stop cleanly: %r", error)
