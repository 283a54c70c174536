"""Identifiers: a short prefix that names the kind, then 26 characters that sort by time.

The body is a 128-bit number in Crockford base 32, as in the ULID specification
(https://github.com/ulid/spec): 48 bits of Unix milliseconds, then 80 random bits.
"""

import secrets
import time
from collections.abc import Iterable, Iterator

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
BODY_LENGTH = 26
AT_ONCE = 500


def new_id(prefix: str) -> str:
    """Return a fresh id such as ``fbk_01jd…``; ids made later sort later (to the millisecond)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    body = []
    for _ in range(BODY_LENGTH):
        number, digit = divmod(number, 32)
        body.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(body))}"


def portions(ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield ids as many at a time as every database binds in one statement, in a fixed order."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]
