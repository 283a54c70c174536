"""Near duplicates: statements that repeat each other, so that what is said often counts once.

Knows no database and no trust, and not how texts are found alike (Broder 1997, *On the resemblance
and containment of documents*, says how much they are).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
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
    compared = _comparable(statements, burst_seconds)
    texts = overlap.groups([statements[each].said for each in compared])
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, text in zip(compared, texts, strict=True):
        statement = statements[position]
        alike[text, statement.kind, statement.liked].append(position)
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


def _comparable(statements: Sequence[Statement], burst_seconds: float) -> list[int]:
    """The positions of what may repeat another: of the same account, or one that appeared beside it.

    Nothing else has to be read, and reading texts is what costs time.
    """
    appeared = sorted({_appearance(each) for each in statements})
    beside = {
        person
        for (key, before, one), (same, after, other) in pairwise(appeared)
        if key == same and after - before < burst_seconds
        for person in (one, other)
    }
    opinions = [(each.person_id, each.kind, each.liked) for each in statements]
    often = Counter(opinions)
    return [
        position
        for position, opinion in enumerate(opinions)
        if often[opinion] > 1 or opinion[0] in beside
    ]


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
