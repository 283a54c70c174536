"""Changing who may do what: accounts and API keys, each change with its entry in the audit log.

What the command line, the API and the console do alike. The caller commits. Knows no HTTP.
"""

from sqlmodel import Session

from feedback.errors import Conflict
from feedback.text import checked
from serving import accounts, auth, sessions
from serving.accounts import MEMORY_MIB
from serving.auth import AccountRole, KeyRole
from serving.models import Account, ApiKey

KEY_NAME_BYTES = 200


def add(
    session: Session,
    *,
    actor: str,
    name: str,
    role: AccountRole,
    password: str,
    memory_mib: int = MEMORY_MIB,
) -> Account:
    """Make an account.

    Raises:
        Conflict: somebody has this name; or it is the first account and no admin's, made by
            somebody who would then be shut out.
        Invalid: the name or the password does not do; says why.
    """
    if actor == "local" and role != "admin":
        raise Conflict(
            "The first account has to be an admin's: from then on nobody gets in without one.",
            param="role",
        )
    row = accounts.create(session, name=name, role=role, password=password, memory_mib=memory_mib)
    auth.audit(session, actor=actor, action="account.create", subject=row.id, detail=role)
    return row


def change_role(session: Session, *, actor: str, name: str, role: AccountRole) -> Account:
    """Give an account another role.

    Raises:
        NotFound: nobody of this name signs in.
        Conflict: it is the last admin's, or a sign-in provider decides on it.
    """
    row = accounts.named(session, name)
    if accounts.is_elsewhere(row):
        raise Conflict(
            f"The role of {row.name!r} comes from the sign-in provider, at every sign-in anew; "
            "change their groups there, or serving.oidc_roles.",
            param="role",
        )
    before = row.role
    accounts.set_role(session, row, role)
    auth.audit(
        session,
        actor=actor,
        action="account.role",
        subject=row.id,
        detail=f"{before} to {role}",
    )
    return row


def change_password(
    session: Session, *, actor: str, name: str, password: str, memory_mib: int = MEMORY_MIB
) -> Account:
    """Set a password anew, forget the wrong ones, and sign the account out everywhere.

    Raises:
        NotFound: nobody of this name signs in.
        Invalid: the password does not do; says why.
        Conflict: a sign-in provider has it.
    """
    row = accounts.named(session, name)
    accounts.set_password(session, row, password, memory_mib)
    sessions.forgive(session, row.name)
    auth.audit(session, actor=actor, action="account.password", subject=row.id)
    return row


def remove(session: Session, *, actor: str, name: str) -> Account:
    """Remove an account; it is signed out everywhere.

    Raises:
        NotFound: nobody of this name signs in.
        Conflict: it is the last admin's, while others are left.
    """
    row = accounts.named(session, name)
    accounts.remove(session, row)
    auth.audit(session, actor=actor, action="account.remove", subject=row.id)
    return row


def sign_out_everywhere(session: Session, *, actor: str, name: str) -> None:
    """End every session of an account.

    Raises:
        NotFound: nobody of this name signs in.
    """
    row = accounts.named(session, name)
    accounts.end_sessions(session, row)
    auth.audit(session, actor=actor, action="session.end_all", subject=row.id)


def make_key(session: Session, *, actor: str, role: KeyRole, name: str) -> tuple[ApiKey, str]:
    """Make an API key; returns its row and, this once, the key.

    Raises:
        Invalid: the name is too long, or holds what no database takes.
    """
    checked(name, "name", max_bytes=KEY_NAME_BYTES)
    row, token = auth.create_key(session, role=role, name=name)
    auth.audit(session, actor=actor, action="key.create", subject=row.id, detail=role)
    return row, token


def revoke_key(session: Session, *, actor: str, key_id: str) -> ApiKey:
    """Revoke an API key; twice is the same as once.

    Raises:
        NotFound: there is no such key.
    """
    row = auth.revoke_key(session, key_id)
    auth.audit(session, actor=actor, action="key.revoke", subject=row.id)
    return row
