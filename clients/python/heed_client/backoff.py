"""How long to wait before the next try. Pure; knows no request.

Exponential, with full jitter: Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture
Blog, 2015. `Retry-After` is RFC 9110, section 10.2.3.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from heed_client.errors import HeedError, is_temporary

_HIGHEST_POWER = 30  # what waits in the queue may be tried for months; 2**10_000 is no float


@dataclass(frozen=True)
class Retry:
    """When to try again.

    Args:
        times: tries after the first, for a call that somebody waits for.
        first_seconds: upper bound of the first wait; it doubles with every try.
        most_seconds: what it doubles up to, and the longest `Retry-After` that a call waits for.
        queue_most_seconds: the same two, for what waits in the queue on disk.
    """

    times: int = 2
    first_seconds: float = 0.5
    most_seconds: float = 8.0
    queue_most_seconds: float = 60.0

    def call_seconds(self, tries: int, fault: HeedError) -> float | None:
        """Return how long a call waits after so many failed tries; None where it gives up."""
        asked = fault.retry_after_seconds or 0.0
        if tries > self.times or not is_temporary(fault) or asked > self.most_seconds:
            return None
        return self._seconds(tries, asked, self.most_seconds)

    def queue_seconds(self, tries: int, fault: HeedError) -> float:
        """Return how long the queue waits after so many failed tries; it never gives up."""
        asked = min(fault.retry_after_seconds or 0.0, 60 * self.queue_most_seconds)
        return self._seconds(tries, asked, self.queue_most_seconds)

    def _seconds(self, tries: int, asked: float, most: float) -> float:
        """Never earlier than asked, and not everybody at that moment."""
        power = min(tries - 1, _HIGHEST_POWER)
        jitter = random.uniform(0, min(most, self.first_seconds * 2**power))
        return asked + jitter


def retry_after_seconds(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Read `Retry-After`: a number of seconds, or a date; None where it is neither.

    Args:
        headers: of the answer, their names in lower case.
        now: Unix seconds; the clock's, unless told.
    """
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])  # thirty years; more digits may be no float
    try:
        moment = parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, moment - (time.time() if now is None else now))
