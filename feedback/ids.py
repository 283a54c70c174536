"""Identifiers: a short prefix that names the kind, then 26 characters that sort by time.

The body is a 128-bit number in Crockford base 32, as in the ULID specification
(https://github.com/ulid/spec): 48 bits of Unix milliseconds, then 80 random bits.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
BODY_LENGTH = 26
_RANDOM_BYTES = 10
_AT_ONCE_BYTES = 4000
AT_ONCE = 500


def new_id(prefix: str) -> str:
    """Return a fresh id such as ``fbk_01jd…``; ids made later sort later (to the millisecond)."""
    return new_ids(prefix, 1)[0]


def new_ids(prefix: str, count: int) -> list[str]:
    """Return so many fresh ids of the same millisecond, each sorting after the one before."""
    head = f"{prefix}_{_moment(time.time_ns() // 1_000_000)}"
    dice = _dice.take(_RANDOM_BYTES * count)
    rolls = [dice[at : at + _RANDOM_BYTES] for at in range(0, len(dice), _RANDOM_BYTES)]
    rolls.sort()
    return [head + _tail(int.from_bytes(roll)) for roll in rolls]


def earliest_id(prefix: str, seconds: float) -> str:
    """Return what sorts before every id made from this time on (Unix seconds), after those before."""
    return f"{prefix}_{_moment(max(0, int(seconds * 1000)))}"


def portions(ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield ids as many at a time as every database binds in one statement, in a fixed order."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


class _Dice:
    """Random bytes, fetched some ahead: a thread that asks the system lets go of Python's lock,
    and beside a busy one that costs more than all the rest of an id."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew; a forked child must not roll what its parent rolls."""
        self._one_at_a_time = threading.Lock()
        self._left = b""

    def take(self, count: int) -> bytes:
        """Return so many bytes that nobody else gets."""
        with self._one_at_a_time:
            if len(self._left) < count:
                self._left = os.urandom(max(count, _AT_ONCE_BYTES))
            taken, self._left = self._left[:count], self._left[count:]
        return taken


_dice = _Dice()
os.register_at_fork(after_in_child=_dice.forget)


def _moment(milliseconds: int) -> str:
    """48 bits as ten characters."""
    return "".join(_PAIRS[milliseconds >> shift & 1023] for shift in (40, 30, 20, 10, 0))


def _tail(roll: int) -> str:
    """80 bits as sixteen characters, two at a time; written out, for batches make thousands."""
    return (
        _PAIRS[roll >> 70]
        + _PAIRS[roll >> 60 & 1023]
        + _PAIRS[roll >> 50 & 1023]
        + _PAIRS[roll >> 40 & 1023]
        + _PAIRS[roll >> 30 & 1023]
        + _PAIRS[roll >> 20 & 1023]
        + _PAIRS[roll >> 10 & 1023]
        + _PAIRS[roll & 1023]
    )
