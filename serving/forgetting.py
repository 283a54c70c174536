"""Erasing a person everywhere, in an order that can be interrupted. Knows no HTTP.

Files go before rows: as long as the rows are there, the same call finds the rest again. Meanwhile
the lease of rounds is held, so that no round reads what is being erased.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, or_, select

from feedback import forget as rows
from feedback.errors import Conflict
from feedback.ids import new_id
from feedback.people import PeopleKey
from feedback.store import Store
from serving.auth import audit
from serving.models import AuditEntry
from trainer import forget as remains
from trainer import lease, leftovers
from trainer import round as rounds

log = logging.getLogger("heed.forget")

LEASE_SECONDS = 600.0
HOLDER = "forget"
RETRAIN = (
    "These adapters learned from this person, and weights cannot be erased by row: retire them "
    "(`heed adapters rollback`), until a release that retrains without a person's words."
)


@dataclass(frozen=True)
class Report:
    """What was erased, or would be.

    Attributes:
        id: names this erasure in the audit log, where the person is not named.
        overwritten: whether the bytes are gone from SQLite's files already; see
            `feedback.forget.overwrite`.
        adapters: those that learned from this person, as JSON.
    """

    id: str | None
    dry_run: bool
    exchanges: int
    feedback: int
    reviews: int
    past_examples: int
    snapshot_rows: int
    audit_entries: int
    overwritten: bool
    rounds: tuple[str, ...]
    adapters: tuple[dict[str, Any], ...]

    @property
    def found(self) -> bool:
        """Whether there was anything."""
        counts = (self.exchanges, self.feedback, self.past_examples, self.snapshot_rows)
        return any(counts) or self.audit_entries > 0

    def to_json(self) -> dict[str, Any]:
        """Return it as the API and the command print it."""
        return {
            "object": "user.deleted",
            "id": self.id,
            "deleted": self.found and not self.dry_run,
            "dry_run": self.dry_run,
            "exchanges": self.exchanges,
            "feedback": self.feedback,
            "reviews": self.reviews,
            "past_examples": self.past_examples,
            "snapshot_rows": self.snapshot_rows,
            "audit_entries": self.audit_entries,
            "overwritten": self.overwritten,
            "rounds": list(self.rounds),
            "adapters": list(self.adapters),
            "note": RETRAIN if self.adapters else None,
        }


def forget(
    store: Store, people: PeopleKey, user: str, *, actor: str, dry_run: bool = False
) -> Report:
    """Erase a person: rows, snapshots, memory, reports, and the bytes they were written in.

    Twice is the same as once. Their receipts stay as tombstones, and so do the rows that those
    name; adapters are listed and left alone.

    Args:
        user: a name as clients send it, an API key's id, or a keyed hash (``per_…``).
        actor: who asks, for the audit log.
        dry_run: only say what would be erased.

    Raises:
        Conflict: a round runs now, and may be learning from them.
    """
    person_ids = people.traceable(user)
    if dry_run:
        with store.session() as session:
            return _report(session, store, person_ids)
    with _no_round(store) as held:
        with store.session() as session:
            planned = _report(session, store, person_ids)
            found = rows.trace(session, person_ids)
            before = remains.trace(session, store.settings.data_dir, found)
            unlisted = leftovers.unrecorded(session, store.settings.data_dir, before.rounds)
        leftovers.remove(unlisted)  # what learned from them and has no row is in no list
        dropped = remains.erase_files(store.settings.data_dir, found)
        with store.session(write=True) as session:
            lease.check(session, held)
            rows.lock(session, person_ids)
            found = rows.trace(session, person_ids)  # what they said meanwhile
            left = remains.trace(session, store.settings.data_dir, found)
            left = replace(left, rounds={**left.rounds, **before.rounds})
            remains.erase_rows(session, found, left)
            rows.erase(session, found)
            named = _named(session, person_ids)
            for entry in named:
                entry.subject = entry.detail = rows.FORGOTTEN
                session.add(entry)
            done = Report(
                id=new_id("fgt") if planned.found or found.exchanges or found.feedback else None,
                dry_run=False,
                exchanges=len(found.exchanges),
                feedback=len(found.feedback),
                reviews=found.reviews,
                past_examples=len(left.past),
                snapshot_rows=dropped,
                audit_entries=len(named),
                overwritten=False,
                rounds=planned.rounds,
                adapters=planned.adapters,
            )
            if done.id is not None:
                taught = ", ".join(adapter["id"] for adapter in done.adapters)
                audit(session, actor=actor, action="user.forget", subject=done.id, detail=taught)
            session.commit()
    overwritten = rows.overwrite(store)
    if done.id is not None:
        log.info("%s: a person was forgotten, %s pieces of feedback", done.id, done.feedback)
    return replace(done, overwritten=overwritten)


@contextmanager
def _no_round(store: Store) -> Iterator[lease.Held]:
    """Keep rounds from running. One that was killed midway starts anew, without what is erased."""
    with store.session(write=True) as session:
        current = rounds.current(session)
        held = lease.acquire(store, session, "round", holder=HOLDER, seconds=LEASE_SECONDS)
        holder = lease.holder(session, "round")
        session.commit()
    if held is None:
        if current is None or holder == HOLDER:
            raise Conflict("Somebody is being forgotten at this moment; ask again in a minute.")
        raise Conflict(
            f"Round {current.id} runs now, and may be learning from this person. Nothing was "
            f"erased: wait for its end, or end it (`heed round cancel {current.id}`), then ask "
            "again."
        )
    try:
        yield held
    finally:
        # Taken over, once its time was up: then it is not ours to give back.
        with suppress(Conflict), store.session(write=True) as session:
            lease.release(store, session, held)
            session.commit()


def _report(session: Session, store: Store, person_ids: Sequence[str]) -> Report:
    found = rows.trace(session, person_ids)
    left = remains.trace(session, store.settings.data_dir, found)
    return Report(
        id=None,
        dry_run=True,
        exchanges=len(found.exchanges),
        feedback=len(found.feedback),
        reviews=found.reviews,
        past_examples=len(left.past),
        snapshot_rows=sum(left.rounds.values()),
        audit_entries=len(_named(session, person_ids)),
        overwritten=False,
        rounds=tuple(left.rounds),
        adapters=tuple(
            {
                "id": each.adapter.id,
                "state": each.adapter.state,
                "round": each.adapter.round_id,
                "how": each.how,
            }
            for each in remains.taught(session, found, left)
        ),
    )


def _named(session: Session, person_ids: Sequence[str]) -> list[AuditEntry]:
    """Entries that name them. Names as clients send them are never written there."""
    columns = (col(AuditEntry.subject), col(AuditEntry.detail))
    names = [column.contains(name) for name in person_ids for column in columns]
    return list(session.exec(select(AuditEntry).where(or_(*names))))
