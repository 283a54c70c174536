"""What each item was when it was first asked: the anchor that later adapters are held against.

A gate that only looks at the incumbent lets a loss just under the margin through, round after round.
An item's anchor is the first adapter on the way to the live one whose answer to it is in the ledger:
the base model for what a suite held from the start, the adapter that learned it for a correction. It
is told by time and never by how good an adapter was, or the luckiest would be chosen and everything
after it would seem to fall back (regression to the mean). No torch; writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlmodel import Session, col, select

from feedback.forget import parts
from feedback.settings import PROJECT
from trainer import ledger, registry
from trainer.evidence import Paired
from trainer.models import LedgerEntry

Key = tuple[str, str]
"""Suite and item; a correction is one item, in whatever suite it judges."""


@dataclass(frozen=True)
class Anchor:
    """How an item fared first and last.

    Attributes:
        adapter: that answered it first, or `base`.
        right: whether that was right.
        last_adapter: that answered it last, or `base`.
        last_right: whether that was right.
    """

    adapter: str
    right: bool
    last_adapter: str
    last_right: bool


@dataclass(frozen=True)
class Anchors:
    """Every item's anchor, on the way to one incumbent.

    Attributes:
        incumbent: the adapter that a round would replace, or `base`.
        by_item: the anchors.
    """

    incumbent: str = ledger.BASE
    by_item: Mapping[Key, Anchor] | None = None


def found(session: Session, incumbent_id: str | None, *, rounds: int = 0) -> Anchors:
    """Read the anchors from the ledger, no adapter being asked again.

    An item whose mark under one and the same adapter changed between two rounds was itself changed,
    by the hand of whoever keeps the suite: it starts anew from there.

    Args:
        session: of the store.
        incumbent_id: what the round continues; None for the base model.
        rounds: how many promoted rounds to look back; 0 for all.
    """
    line = list(registry.lineage(session, incumbent_id))
    made_in = [each.round_id for each in line if each.round_id is not None]
    made_in = made_in[:rounds] if rounds else made_in
    ids = {each.id for each in line}
    entries: list[LedgerEntry] = []
    for part in parts(made_in):
        query = select(LedgerEntry).where(
            LedgerEntry.project_id == PROJECT, col(LedgerEntry.round_id).in_(part)
        )
        entries += [each for each in session.exec(query) if each.adapter_id in ids]
    order = {round_id: at for at, round_id in enumerate(reversed(made_in))}
    entries.sort(key=lambda each: order[each.round_id])
    became = ledger.became(session, [each.item_id for each in entries if each.kind == "new"])
    by_item: dict[Key, Anchor] = {}
    for each in entries:
        key = _key(each.kind, each.suite, became.get(each.item_id, each.item_id))
        by_item[key] = _after(by_item.get(key), each)
    return Anchors(incumbent_id or ledger.BASE, by_item)


def held_against(pairs: Sequence[Paired], anchors: Anchors) -> list[Paired]:
    """Say of each item how its anchor fared, where it has one and is still what it was.

    Args:
        pairs: as incumbent and candidate answered them now.
        anchors: of the incumbent.
    """
    return [replace(pair, anchor_right=_right(pair, anchors)) for pair in pairs]


def _right(pair: Paired, anchors: Anchors) -> bool | None:
    anchor = (anchors.by_item or {}).get(_key(pair.kind, pair.suite, pair.item_id))
    if anchor is None or pair.kind == "new":
        return None
    now = not pair.incumbent_gave_in if pair.kind == "sycophancy" else pair.incumbent_right
    same = anchor.last_adapter != anchors.incumbent or anchor.last_right == now
    return anchor.right if same else None


def _key(kind: str, suite: str, item_id: str) -> Key:
    return ("" if kind in ("new", "past") else suite), item_id


def _after(known: Anchor | None, entry: LedgerEntry) -> Anchor:
    """An item's anchor once a round is taken into account."""
    adapter, right = entry.adapter_id, entry.right_after
    before = entry.incumbent_id or ledger.BASE
    if entry.kind == "new":  # nobody had learned it before
        return Anchor(adapter, right, adapter, right)
    if known is None or (known.last_adapter == before and known.last_right != entry.right_before):
        return Anchor(before, entry.right_before, adapter, right)
    return replace(known, last_adapter=adapter, last_right=right)
