"""Leases with fencing tokens: exactly one process acts on a thing, also when one was asleep.

A lease without a fence is not enough: a holder that is stopped and wakes after its lease ran out
would still write. Each write that matters checks the fence in its own transaction
(M. Kleppmann, "How to do distributed locking", 2016). Time is the database's.
"""

import socket
from dataclasses import dataclass

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select
from sqlmodel.sql.expression import SelectOfScalar

from feedback.errors import Conflict
from feedback.settings import PROJECT
from feedback.store import Store
from trainer.models import Lease


@dataclass(frozen=True)
class Held:
    """A lease as its holder knows it."""

    name: str
    fence: int


def acquire(
    store: Store, session: Session, name: str, *, holder: str, seconds: float
) -> Held | None:
    """Take a lease that is free or has run out; None where another holds it. The caller commits."""
    # Two that come first at once must both find a row to lock.
    row = {"name": name, "project_id": PROJECT, "holder": "", "fence": 0, "expires_at": 0.0}
    dialect = sqlite if store.is_sqlite else postgresql
    session.execute(dialect.insert(Lease).on_conflict_do_nothing(), row)
    lease = session.exec(_query(name)).one()
    now = store.now_seconds(session)
    if lease.expires_at > now:
        return None
    lease.holder = holder
    lease.fence += 1
    lease.expires_at = now + seconds
    session.add(lease)
    return Held(name, lease.fence)


def renew(store: Store, session: Session, held: Held, *, seconds: float) -> None:
    """Extend a lease. The caller commits.

    Raises:
        Conflict: somebody else has taken it over.
    """
    lease = check(session, held)
    lease.expires_at = store.now_seconds(session) + seconds
    session.add(lease)


def check(session: Session, held: Held) -> Lease:
    """Return the lease if it is still this holder's; call it inside every guarded transaction.

    Raises:
        Conflict: somebody else has taken it over.
    """
    lease = session.exec(_query(held.name)).first()
    if lease is None or lease.fence != held.fence:
        raise Conflict(
            f"{held.name} was taken over by another process; this one stops without writing."
        )
    return lease


def release(store: Store, session: Session, held: Held) -> None:
    """Let go at once instead of when the time runs out. The caller commits."""
    lease = check(session, held)
    lease.expires_at = store.now_seconds(session)
    session.add(lease)


def bar(store: Store, session: Session, name: str) -> bool:
    """Shut out whoever held a lease that has run out: asleep or dead, it writes nothing any more.

    The caller commits.

    Returns:
        Whether nobody held it, and so nobody does.
    """
    return acquire(store, session, name, holder="", seconds=0.0) is not None


def expire(store: Store, session: Session, name: str, *, pid: int) -> None:
    """End the lease of a process on this machine that is known to be dead. The caller commits.

    Without this its work could be taken up only once the lease runs out.
    """
    lease = session.exec(_query(name)).first()
    now = store.now_seconds(session)
    if lease is not None and lease.holder == holder_name(pid) and lease.expires_at > now:
        lease.expires_at = now
        session.add(lease)


def holder_name(pid: int) -> str:
    """Return how a process of this machine names itself as a holder."""
    return f"{socket.gethostname()}:{pid}"


def holder(session: Session, name: str) -> str | None:
    """Return who holds the lease, or held it last."""
    found = session.exec(_query(name)).first()
    return found.holder if found else None


def is_free(store: Store, session: Session, name: str) -> bool:
    """Whether nobody holds the lease now."""
    lease = session.exec(_query(name)).first()
    return lease is None or lease.expires_at <= store.now_seconds(session)


def _query(name: str) -> SelectOfScalar[Lease]:
    # The row lock makes check-then-write one step on PostgreSQL; SQLite's writer is alone anyway.
    query = select(Lease).where(Lease.name == name, Lease.project_id == PROJECT)
    return query.with_for_update().execution_options(populate_existing=True)
