"""Near duplicates: statements that repeat each other, so that what is said often counts once.

Knows no database and no trust, and not how texts are found alike (Broder 1997, *On the resemblance
and containment of documents*, says how much they are).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from feedback import overlap
from feedback.statements import Statement


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
        The positions of each group of two or more, the group that begins first before the others.
    """
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for near in _comparable(statements, burst_seconds):
        texts = overlap.groups([statements[each].said for each in near])
        for position, text in zip(near, texts, strict=True):
            alike[near[0], text].append(position)
    return sorted(
        cluster
        for group in alike.values()
        if len(group) > 1
        for cluster in _by_source([statements[each] for each in group], group, burst_seconds)
        if len(cluster) > 1
    )


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


def _comparable(statements: Sequence[Statement], burst_seconds: float) -> list[list[int]]:
    """The positions of what may repeat each other: the same opinion of one account, or of accounts
    that appeared one after the other.

    Nothing else has to be read, and reading texts is what costs time.
    """
    source = sources(statements, burst_seconds=burst_seconds)
    opinions: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, each in enumerate(statements):
        opinions[source[each.person_id], each.kind, each.liked].append(position)
    return [near for near in opinions.values() if len(near) > 1]


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
