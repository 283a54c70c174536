"""The people who sign in to the console: names, roles and passwords. Knows no HTTP and no cookie.

Passwords are kept as argon2id hashes (RFC 9106) with the passes and lanes that argon2-cffi recommends,
and the memory that the settings give them.
"""

import hashlib
import secrets
import time
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlmodel import Session, col, delete, select

from feedback.errors import Conflict, Invalid, NotFound
from feedback.ids import new_id
from feedback.settings import PROJECT
from feedback.text import checked
from serving.auth import ACCOUNT_ROLES, AccountRole
from serving.models import Account, ConsoleSession

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST_CHARACTERS = 10
MOST_BYTES = 1000
"""Longer passwords would only cost time to hash."""
NAME_CHARACTERS = 60
MEMORY_MIB = 64
ELSEWHERE = "oidc$"
"""Begins what is kept in a password's place where somebody else says who it is."""


def accounts(session: Session) -> list[Account]:
    """Return every account that is not removed, by name."""
    query = select(Account).where(Account.project_id == PROJECT, col(Account.removed_at).is_(None))
    return list(session.exec(query.order_by(col(Account.name))))


def names(session: Session) -> dict[str, str]:
    """Return what people are called, by how the record knows them."""
    return {each.id: each.name for each in accounts(session)}


def named(session: Session, name: str) -> Account:
    """Return an account.

    Raises:
        NotFound: nobody of this name signs in.
    """
    found = find(session, name)
    if found is None:
        raise NotFound(f"No account {name!r}; `heed people list` shows them.", param="name")
    return found


def find(session: Session, name: str) -> Account | None:
    """Return the account of this name; None where there is none."""
    query = select(Account).where(
        Account.project_id == PROJECT,
        Account.name == normal(name),
        col(Account.removed_at).is_(None),
    )
    return session.exec(query).first()


def create(
    session: Session,
    *,
    name: str,
    role: AccountRole,
    password: str,
    memory_mib: int = MEMORY_MIB,
) -> Account:
    """Make an account. The caller commits.

    Args:
        session: writes.
        name: what they sign in with; unique.
        role: what they may do.
        password: as they will type it.
        memory_mib: what hashing it takes, as `serving.password_memory_mib` says.

    Raises:
        Invalid: the name is empty, too long or not printable, or the password does not do.
        Conflict: somebody has this name.
    """
    plain = usable(name)
    if find(session, plain) is not None:
        raise Conflict(f"There is an account {plain!r} already; choose another name.", param="name")
    return _made(session, plain, role, hash_password(password, memory_mib))


def create_elsewhere(session: Session, *, name: str, role: AccountRole, subject: str) -> Account:
    """Make an account without a password, of somebody who proves elsewhere who they are.

    The caller commits, and has looked whether the name is free.

    Args:
        session: writes.
        name: what they are called here; unique.
        role: what they may do.
        subject: whose it is, as `subject_of` writes it.

    Raises:
        Invalid: the name is empty, too long or not printable.
    """
    return _made(session, usable(name), role, subject)


def subject_of(issuer: str, sub: str) -> str:
    """Return what is kept of somebody whom an issuer knows by `sub`: a hash, never used twice."""
    digest = hashlib.sha256(f"{issuer}\0{sub}".encode(errors="replace")).hexdigest()
    return f"{ELSEWHERE}{digest}"


def of_subject(session: Session, subject: str) -> Account | None:
    """Return the account of somebody who proves elsewhere who they are; None where there is none."""
    query = select(Account).where(
        Account.project_id == PROJECT,
        Account.password_hash == subject,
        col(Account.removed_at).is_(None),
    )
    return session.exec(query).first()


def is_elsewhere(row: Account) -> bool:
    """Whether an account has no password here, since a sign-in provider says who it is."""
    return row.password_hash.startswith(ELSEWHERE)


def usable(name: str) -> str:
    """Return a name in its one form.

    Raises:
        Invalid: it is empty, too long or not printable.
    """
    plain = normal(name)
    if not plain or len(plain) > NAME_CHARACTERS or not plain.isprintable():
        raise Invalid(
            f"A name has 1 to {NAME_CHARACTERS} printable characters; choose another.", param="name"
        )
    return plain


def set_role(session: Session, row: Account, role: AccountRole) -> None:
    """Give an account another role; its sessions have it within a second. The caller commits.

    Raises:
        Conflict: it is the last admin's.
    """
    if role != "admin":
        _keep_an_admin(session, row)
    row.role = _role(role)
    session.add(row)


def set_password(
    session: Session, row: Account, password: str, memory_mib: int = MEMORY_MIB
) -> None:
    """Change a password; every browser has to sign in again. The caller commits.

    Raises:
        Invalid: it does not do; says why.
        Conflict: the account has none, since a sign-in provider says who it is.
    """
    if is_elsewhere(row):
        raise Conflict(
            f"{row.name!r} signs in by the sign-in provider and has no password here; it is changed "
            "there.",
            param="name",
        )
    row.password_hash = hash_password(password, memory_mib)
    session.add(row)
    end_sessions(session, row)


def remove(session: Session, row: Account) -> None:
    """Remove an account; it is signed out everywhere at once. The caller commits.

    Raises:
        Conflict: it is the last admin's, while others are left.
    """
    if len(accounts(session)) > 1:
        _keep_an_admin(session, row)
    row.removed_at = time.time()
    session.add(row)
    end_sessions(session, row)


def end_sessions(session: Session, row: Account) -> None:
    """Sign an account out everywhere. The caller commits."""
    session.exec(delete(ConsoleSession).where(col(ConsoleSession.account_id) == row.id))


def verify(row: Account | None, password: str, memory_mib: int = MEMORY_MIB) -> bool:
    """Whether a password is this account's; takes as long where there is no such account."""
    from argon2.exceptions import VerificationError

    try:
        if len(password.encode()) > MOST_BYTES:
            return False
        if row is not None and is_elsewhere(row):
            row = None  # and it takes as long
        kept = row.password_hash if row else _nobody(memory_mib)
        _hasher(memory_mib).verify(kept, normal(password))
    except (VerificationError, UnicodeEncodeError):  # half a surrogate pair is nobody's password
        return False
    return row is not None


def hash_password(password: str, memory_mib: int = MEMORY_MIB) -> str:
    """Return what is kept of a password.

    Raises:
        Invalid: it is too short or too long; says how long it has to be.
    """
    if len(password) < LEAST_CHARACTERS:
        raise Invalid(
            f"A password has at least {LEAST_CHARACTERS} characters; a few words do well.",
            param="password",
        )
    checked(password, "password", max_bytes=MOST_BYTES)
    return _hasher(memory_mib).hash(normal(password))


def new_password() -> str:
    """Return a random password that can be read out: 100 bits."""
    body = "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _ in range(20))
    return "-".join(body[at : at + 5] for at in range(0, 20, 5))


def normal(text: str) -> str:
    """One form for what looks the same (NFKC), without blanks around it."""
    return unicodedata.normalize("NFKC", text).strip()


@lru_cache
def _hasher(memory_mib: int) -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher(memory_cost=memory_mib * 1024)


@lru_cache
def _nobody(memory_mib: int) -> str:
    """What a password is compared with where no such account is, so that it takes as long."""
    return _hasher(memory_mib).hash(secrets.token_urlsafe())


def _made(session: Session, name: str, role: AccountRole, password_hash: str) -> Account:
    row = Account(
        id=new_id("acc"),
        name=name,
        role=_role(role),
        password_hash=password_hash,
        created_at=time.time(),
    )
    session.add(row)
    session.flush()
    return row


def _role(role: str) -> AccountRole:
    for each in ACCOUNT_ROLES:
        if each == role:
            return each
    raise Invalid(f"{role!r} is no role; choose one of {', '.join(ACCOUNT_ROLES)}.", param="role")


def _keep_an_admin(session: Session, row: Account) -> None:
    admins = [each.id for each in accounts(session) if each.role == "admin"]
    if admins == [row.id]:
        raise Conflict(
            f"{row.name!r} is the last admin; make somebody else one first.", param="name"
        )
