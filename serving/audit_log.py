"""Reading the audit log: who did what, to what, and when. Writes nothing; knows no HTTP."""

from collections.abc import Iterable

from sqlmodel import Session, col, select

from feedback.errors import Invalid
from feedback.ids import new_id
from feedback.settings import PROJECT
from serving.models import Account, ApiKey, AuditEntry

_PREFIX = new_id("aud").partition("_")[0]


def entries(
    session: Session,
    *,
    actor: str | None = None,
    action: str | None = None,
    before: str | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Return entries of the log, newest first.

    Args:
        session: reads.
        actor: only what this account or key did: its id, an account's name, ``cli``, ``local``.
        action: only this action, or all of a kind where it ends in a full stop, such as ``key.``.
        before: only what is older than the entry of this id.
        limit: how many at most.

    Raises:
        Invalid: `before` is no id of an entry.
    """
    query = select(AuditEntry).where(AuditEntry.project_id == PROJECT)
    if actor:
        ids = select(Account.id).where(Account.project_id == PROJECT, Account.name == actor)
        query = query.where((col(AuditEntry.actor) == actor) | col(AuditEntry.actor).in_(ids))
    if action:
        query = query.where(
            col(AuditEntry.action).startswith(action, autoescape=True)
            if action.endswith(".")
            else col(AuditEntry.action) == action
        )
    if before is not None:
        if not before.startswith(f"{_PREFIX}_"):
            raise Invalid(
                f"{before!r} is no place in the audit log; send the `next` of the page before.",
                param="after",
            )
        query = query.where(col(AuditEntry.id) < before)
    return list(session.exec(query.order_by(col(AuditEntry.id).desc()).limit(limit)))


def actions(session: Session) -> list[str]:
    """Return every action that the log has an entry of, by name."""
    query = select(AuditEntry.action).where(AuditEntry.project_id == PROJECT).distinct()
    return sorted(session.exec(query))


def names(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """Return what people call the accounts and keys among these ids, the removed ones too."""
    wanted = set(ids)
    found: dict[str, str] = {}
    for kind in (Account, ApiKey):
        rows = session.exec(select(kind.id, kind.name).where(col(kind.id).in_(wanted)))
        found |= {row_id: name for row_id, name in rows if name}
    return found
