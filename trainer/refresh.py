"""What is rehearsed because somebody asked for it: a forgotten item's kin, or else the item. Pure.

What is replayed cannot also judge, or the gate would measure memory and not retention. So a
forgotten item is refreshed by old material that gives the same answer; only a past correction that
has no such kin leaves the judges and is learned. A suite's items are never trained on. Knows no
database and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from feedback.words import content_words, normalised
from trainer import suites
from trainer.models import LedgerEntry
from trainer.replay import Old
from trainer.suites import Item

MOST_KIN = 8
"""So many examples refresh one item; replay has room for others, too."""


@dataclass(frozen=True)
class Wished:
    """Old material once wishes are met.

    Attributes:
        past: what may be replayed.
        judging: old feedback that judges.
        first: ids of what is replayed before any other.
    """

    past: tuple[Old, ...]
    judging: tuple[Old, ...]
    first: frozenset[str]


def wished(
    entries: Sequence[LedgerEntry],
    *,
    past: Sequence[Old],
    judging: Sequence[Old],
    general: Sequence[Old],
    guarded: Sequence[Item],
) -> Wished:
    """Find what refreshes each forgotten item.

    Args:
        entries: of the ledger, those that somebody wants back.
        past: old feedback that may be replayed.
        judging: old feedback and general material that judges.
        general: general material that may be replayed.
        guarded: the shop's own items.
    """
    if not entries:
        return Wished(tuple(past), _feedback(judging), frozenset())
    by_id = {old.id: old for old in judging}
    by_said = {name: old for old in judging for name in old.feedback_ids}
    items = {(item.suite, item.id): item for item in guarded}
    pool = (*past, *general)
    first: set[str] = set()
    moved: set[str] = set()
    for entry in entries:
        old = by_id.get(entry.item_id) or by_said.get(entry.item_id)
        item = items.get((entry.suite, entry.item_id))
        kin: list[Old] = []
        if old is not None:
            alike = [each for each in pool if normalised(each.target) == normalised(old.target)]
            kin = _nearest(old.messages[-1]["content"], alike)
            if not kin and old.origin == "past":
                moved.add(old.id)
                kin = [old]
        elif item is not None and item.check != "judge":
            alike = [each for each in pool if suites.passes(item, each.target)]
            kin = _nearest(item.messages[-1]["content"], alike)
        first.update(each.id for each in kin)
    learnt = [old for old in judging if old.id in moved]
    return Wished(
        (*past, *(replace(old, judges=False) for old in learnt)),
        tuple(old for old in _feedback(judging) if old.id not in moved),
        frozenset(first),
    )


def _feedback(olds: Sequence[Old]) -> tuple[Old, ...]:
    return tuple(old for old in olds if old.origin == "past")


def _nearest(question: str, alike: Sequence[Old]) -> list[Old]:
    """Of what gives the right answer, that whose question shares the most content words."""
    ours = content_words(question)
    shared = [(len(ours & content_words(old.messages[-1]["content"])), old) for old in alike]
    near = sorted((pair for pair in shared if pair[0]), key=lambda pair: (-pair[0], pair[1].id))
    return [old for _, old in near[:MOST_KIN]]
