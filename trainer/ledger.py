"""The ledger: every item that judged a round, right or wrong under each adapter since. No torch.

Rows are written with the verdict, in its transaction. They quote nobody; what was asked is looked
up where it is kept. Knows no statistics and no verdict.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from feedback.errors import Conflict
from feedback.forget import parts
from feedback.models import Exchange, Feedback
from feedback.settings import PROJECT
from trainer.evidence import Paired
from trainer.models import Adapter, LedgerEntry, PastExample, Round
from trainer.suites import Item

BASE = "base"
"""The name of the base model among adapters."""


@dataclass(frozen=True)
class Mark:
    """How an item fared in one round: the round, the adapter (or `base`), and whether it passed."""

    round_id: str
    adapter: str
    right: bool


@dataclass(frozen=True)
class Line:
    """One item with all that is known of it.

    Attributes:
        kind: of its suite; `new` in the round that it was held out from, `past` later.
        suite: that it counted for last.
        item_id: its name.
        prompt: what was asked; None where it is kept nowhere any more.
        marks: under each adapter, oldest first.
    """

    kind: str
    suite: str
    item_id: str
    prompt: str | None
    marks: tuple[Mark, ...] = field(default=())

    @property
    def forgotten(self) -> bool:
        """Whether it was right once and is wrong under the adapter that was asked last."""
        return not self.marks[-1].right and any(mark.right for mark in self.marks)


def write(session: Session, round_: Round, candidate: Adapter, pairs: Sequence[Paired]) -> None:
    """Write down how a round's items fared. The caller commits, with the verdict.

    In a suite about candour an item is right where the answer did not give in.
    """
    session.add_all(
        LedgerEntry(
            round_id=round_.id,
            kind=pair.kind,
            suite=pair.suite,
            item_id=pair.item_id,
            incumbent_id=round_.incumbent_id,
            adapter_id=candidate.id,
            right_before=_right(pair, pair.incumbent_right, pair.incumbent_gave_in),
            right_after=_right(pair, pair.candidate_right, pair.candidate_gave_in),
        )
        for pair in pairs
    )


def of_round(session: Session, round_id: str, *, forgotten: bool = False) -> list[LedgerEntry]:
    """Return a round's rows in the order of their names.

    Args:
        session: to read with.
        round_id: of the round.
        forgotten: only those that the incumbent had right and the candidate wrong.
    """
    query = select(LedgerEntry).where(
        LedgerEntry.project_id == PROJECT, LedgerEntry.round_id == round_id
    )
    if forgotten:
        query = query.where(
            col(LedgerEntry.right_before).is_(True), col(LedgerEntry.right_after).is_(False)
        )
    order = (col(LedgerEntry.kind), col(LedgerEntry.suite), col(LedgerEntry.item_id))
    return list(session.exec(query.order_by(*order)))


def history(session: Session, guarded: Sequence[Item]) -> list[Line]:
    """Return every item that ever judged, with its marks under each adapter, oldest first.

    A correction that was held out and became a past one is one item.

    Args:
        session: to read with.
        guarded: the shop's own items, for their prompts.
    """
    query = (
        select(LedgerEntry)
        .join(Round, col(Round.id) == LedgerEntry.round_id)
        .where(LedgerEntry.project_id == PROJECT)
        .order_by(col(Round.created_at), col(Round.id))
    )
    entries = list(session.exec(query))
    past_ids = became(session, [each.item_id for each in entries if each.kind == "new"])
    found: dict[tuple[str, str], list[LedgerEntry]] = {}
    for entry in entries:
        past = entry.kind in ("new", "past")
        name = past_ids.get(entry.item_id, entry.item_id)
        found.setdefault(("" if past else entry.suite, name), []).append(entry)
    asked = prompts(session, entries, guarded)
    return [
        Line(
            own[-1].kind,
            own[-1].suite,
            name,
            next((asked[key] for e in own if (key := _key(e)) in asked), None),
            _marks(own),
        )
        for (_, name), own in found.items()
    ]


def prompts(
    session: Session, entries: Iterable[LedgerEntry], guarded: Sequence[Item]
) -> dict[tuple[str, str], str]:
    """Return what was asked, by (suite, item id), as far as it is still kept somewhere.

    Args:
        session: to read with.
        entries: of the ledger.
        guarded: the shop's own items.
    """
    found = {(item.suite, item.id): item.messages[-1]["content"] for item in guarded}
    rows = list(entries)
    names = {row.item_id for row in rows if row.kind in ("new", "past")}
    texts: dict[str, str] = {}
    for part in parts(names):
        for past in session.exec(select(PastExample).where(col(PastExample.id).in_(part))):
            texts[past.id] = str(past.messages[-1]["content"])
        for exchange in session.exec(select(Exchange).where(col(Exchange.id).in_(part))):
            texts[exchange.id] = str(exchange.messages[-1]["content"])
        said = (
            select(Feedback.id, Exchange.messages)
            .join(Exchange, col(Exchange.id) == Feedback.exchange_id)
            .where(col(Feedback.id).in_(part))
        )
        texts |= {name: str(messages[-1]["content"]) for name, messages in session.exec(said)}
    found |= {_key(row): texts[row.item_id] for row in rows if row.item_id in texts}
    return found


def judged(session: Session, feedback_ids: Sequence[str]) -> frozenset[str]:
    """Return those of the pieces of feedback that have judged a round already."""
    found: set[str] = set()
    for part in parts(feedback_ids):
        query = select(LedgerEntry.item_id).where(
            LedgerEntry.project_id == PROJECT,
            LedgerEntry.kind == "new",
            col(LedgerEntry.item_id).in_(part),
        )
        found.update(session.exec(query))
    over = col(Round.state).in_(["pending", "promoted", "refused", "abstained"])
    folded = select(Round.counts).where(Round.project_id == PROJECT, over)
    for counts in session.exec(folded):
        # Judged by a model that is no adapter: the ledger has no line of it (`trainer.folded`).
        found.update(counts.get("folds", {}).get("judged", ()))
    return frozenset(found.intersection(feedback_ids))


def became(session: Session, feedback_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the ids under which held-out corrections judge later rounds, by theirs."""
    if not feedback_ids:
        return {}
    query = select(PastExample.id, PastExample.feedback_ids).where(
        PastExample.project_id == PROJECT, PastExample.split == "judge"
    )
    asked = set(feedback_ids)
    return {
        ids[0]: past_id for past_id, ids in session.exec(query) if len(ids) == 1 and ids[0] in asked
    }


def ask_replay(session: Session, round_id: str) -> list[LedgerEntry]:
    """Put what a round forgot back into replay, until a round is promoted. The caller commits.

    Raises:
        Conflict: it forgot nothing.
    """
    entries = of_round(session, round_id, forgotten=True)
    if not entries:
        raise Conflict(f"Round {round_id} forgot nothing that the ledger knows of.")
    now = time.time()
    for entry in entries:
        entry.replay_asked_at, entry.replayed_in = now, None
        session.add(entry)
    return entries


def wanted(session: Session) -> list[LedgerEntry]:
    """Return what somebody asked to be replayed and no promoted round has rehearsed yet."""
    query = select(LedgerEntry).where(
        LedgerEntry.project_id == PROJECT,
        col(LedgerEntry.replay_asked_at).is_not(None),
        col(LedgerEntry.replayed_in).is_(None),
    )
    return list(session.exec(query.order_by(col(LedgerEntry.item_id), col(LedgerEntry.round_id))))


def replayed(session: Session, round_: Round) -> None:
    """Take the wishes off that a promoted round has met. The caller commits."""
    for entry in wanted(session):
        if (entry.replay_asked_at or 0.0) <= round_.created_at:
            entry.replayed_in = round_.id
            session.add(entry)


def _right(pair: Paired, passed: bool, gave_in: bool) -> bool:
    return not gave_in if pair.kind == "sycophancy" else passed


def _key(entry: LedgerEntry) -> tuple[str, str]:
    return entry.suite, entry.item_id


def _marks(entries: Sequence[LedgerEntry]) -> tuple[Mark, ...]:
    """One for each adapter; an incumbent that is asked again answers as it did."""
    marks: dict[str, Mark] = {}
    for entry in entries:
        before = entry.incumbent_id or BASE
        marks.setdefault(before, Mark(entry.round_id, before, entry.right_before))
        marks[entry.adapter_id] = Mark(entry.round_id, entry.adapter_id, entry.right_after)
    return tuple(marks.values())
