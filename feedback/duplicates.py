"""Near duplicates: statements that repeat each other, so that what is said often counts once.

Texts alike are found by MinHash (Broder 1997, *On the resemblance and containment of documents*)
with locality-sensitive hashing. Knows no database and no trust.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol

from feedback.statements import Statement

ALIKE = 0.8
"""Texts whose words and pairs of words overlap this much (Jaccard) say the same."""
_PERMUTATIONS = 128
_BANDS = 16
_WORD = re.compile(r"\w+")


class Spoken(Protocol):
    """What tells one source from another."""

    @property
    def person_id(self) -> str: ...
    @property
    def key_id(self) -> str | None: ...
    @property
    def first_seen_at(self) -> float: ...
    @property
    def imported(self) -> bool: ...


def clusters(statements: Sequence[Statement], *, burst_seconds: float) -> list[list[int]]:
    """Group what says nearly the same from nearly the same source.

    Independent people who agree are no duplicates: they are what trust is made of. What counts once
    is one account that repeats itself, and accounts under one API key that appeared within
    `burst_seconds` of each other and say the same, as accounts that one person made up do.

    Args:
        statements: in a fixed order.
        burst_seconds: 0 leaves only what one account repeats.

    Returns:
        The positions of each group of two or more.
    """
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, text in enumerate(similar([statement.said for statement in statements])):
        statement = statements[position]
        alike[text, statement.kind, statement.liked].append(position)
    return [
        cluster
        for group in alike.values()
        if len(group) > 1
        for cluster in _by_source([statements[each] for each in group], group, burst_seconds)
        if len(cluster) > 1
    ]


def sources(said: Iterable[Spoken], *, burst_seconds: float) -> dict[str, int]:
    """Return, per person, the number of their source; accounts that appeared together share one."""
    first = {each.person_id: each for each in said}
    found: dict[str, int] = {}
    before: Spoken | None = None
    for person in sorted(first, key=lambda each: _appearance(first[each])):
        now = first[person]
        if before is not None and _together(before, now, burst_seconds):
            found[person] = found[before.person_id]
        else:
            found[person] = len(found)
        before = now
    return found


def similar(texts: Sequence[str]) -> list[int]:
    """Return, per text, the number of its group; near duplicates share one.

    The first text of a group leads it, and others are compared with the leaders alone: ten thousand
    variants of one sentence cost ten thousand comparisons, not their square.
    """
    from rensa import RMinHash, RMinHashLSH

    leaders = RMinHashLSH(threshold=ALIKE, num_perm=_PERMUTATIONS, num_bands=_BANDS)
    shingles: list[frozenset[str]] = []
    exact: dict[str, int] = {}
    numbers = []
    for text in texts:
        if text not in exact:
            own = _shingles(text)
            sketch = RMinHash(num_perm=_PERMUTATIONS, seed=1)
            sketch.update(list(own))
            near = (each for each in leaders.query(sketch) if _alike(own, shingles[each]))
            number = min(near, default=len(shingles))
            if number == len(shingles):
                leaders.insert(number, sketch)
                shingles.append(own)
            exact[text] = number
        numbers.append(exact[text])
    return numbers


def _shingles(text: str) -> frozenset[str]:
    found = _WORD.findall(text.casefold())
    # A text without a word, such as one emoji, is like itself alone.
    return frozenset([*found, *map(" ".join, pairwise(found))] or [text])


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * len(one | other)


def _by_source(
    group: Sequence[Statement], positions: Sequence[int], burst_seconds: float
) -> list[list[int]]:
    """Split a group into what comes from one account, or from accounts that appeared together."""
    source = sources(group, burst_seconds=burst_seconds)
    split: dict[int, list[int]] = defaultdict(list)
    for statement, position in zip(group, positions, strict=True):
        split[source[statement.person_id]].append(position)
    return list(split.values())


def _appearance(one: Spoken) -> tuple[str, float, str]:
    return one.key_id or "", one.first_seen_at, one.person_id


def _together(one: Spoken, other: Spoken, burst_seconds: float) -> bool:
    """Whether the second account appeared right after the first, under the same key."""
    return (
        not (one.imported or other.imported)
        and one.key_id == other.key_id
        and other.first_seen_at - one.first_seen_at < burst_seconds
    )
