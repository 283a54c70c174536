"""Who is calling, and what they may do. Knows no route.

Keys are random (256 bits), so a plain SHA-256 of one is as safe to keep as a slow hash would be.
"""

import asyncio
import hashlib
import ipaddress
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from sqlmodel import Session, col, select

from feedback.errors import Forbidden, NotFound, StorageFull, Unauthorized, Unavailable
from feedback.ids import new_id
from feedback.settings import PROJECT
from feedback.store import Store
from serving.models import Account, ApiKey, AuditEntry
from serving.tokens import MARK

Role = Literal["client", "viewer", "reviewer", "operator", "admin"]
KeyRole = Literal["client", "reviewer", "admin"]
AccountRole = Literal["viewer", "reviewer", "operator", "admin"]
RANKS: dict[Role, int] = {"client": 0, "viewer": 0, "reviewer": 1, "operator": 2, "admin": 3}
"""Each role may do what those of a lower rank may; a key's `client` is an account's `viewer`."""
KEY_ROLES: tuple[KeyRole, ...] = ("client", "reviewer", "admin")
ACCOUNT_ROLES: tuple[AccountRole, ...] = ("viewer", "reviewer", "operator", "admin")
REFRESH_SECONDS = 1.0
"""A key that was made or revoked elsewhere takes effect within this time."""
STALE_SECONDS = 300.0
"""While the database is away, the keys of before are good for so long, and so is what needs no
database."""


@dataclass(frozen=True)
class Caller:
    """Who is calling.

    Attributes:
        key_id: of the key or the account; None while Heed has neither.
        role: what it may do.
        name: the account's, to be shown.
    """

    key_id: str | None
    role: Role
    name: str = ""

    def allows(self, role: Role) -> bool:
        """Whether this caller may do what needs `role`."""
        return RANKS[self.role] >= RANKS[role]

    @property
    def actor(self) -> str:
        """The caller's name in the audit log."""
        return self.key_id or "local"


class KeyRing:
    """The valid keys, read from the database at most once a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[str, Caller] = {}
        self._accounts: frozenset[str] = frozenset()
        self._any = False
        self._read_at = -1.0
        self._known_at = -STALE_SECONDS
        self._reading: asyncio.Task[None] | None = None

    async def caller(self, authorization: str | None, client_host: str | None) -> Caller:
        """Return who calls; only a look at the database costs a thread.

        Until the first key or account exists, every caller on this machine has every role and any bearer
        value is accepted, since stock clients insist on sending one.

        Raises:
            Unauthorized: no key, an unknown or revoked one, or a caller from elsewhere while Heed
                has no keys.
            Forbidden: what it sent is a feedback token, and this is not about feedback.
            Unavailable: the database has been away for too long.
        """
        await self._fresh()
        scheme, _, token = (authorization or "").partition(" ")
        if token.strip().startswith(MARK):
            raise Forbidden(
                "A feedback token sends, reads and withdraws feedback on one answer and nothing "
                "else; this needs an API key."
            )
        if not self._any:
            if is_loopback(client_host):
                return Caller(None, "admin")
            raise Unauthorized(
                "Heed has no API keys yet and so answers this machine only. Make one with "
                "`heed keys create --role client`."
            )
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("Send `Authorization: Bearer KEY`; `heed keys create` makes a key.")
        caller = self._keys.get(hashed(token.strip()))
        if caller is None:
            raise Unauthorized("This API key is unknown or was revoked.")
        return caller

    async def holds(self, key_id: str | None) -> bool:
        """Whether a key or an account is valid still; None stands for the time before any was."""
        await self._fresh()
        if key_id is None:
            return not self._any
        if key_id in self._accounts:
            return True
        return any(each.key_id == key_id for each in self._keys.values())

    async def closed(self) -> bool:
        """Whether a key or an account exists, so that nobody gets in without one."""
        await self._fresh()
        return self._any

    async def _fresh(self) -> None:
        """Wait for the keys where what is known of them is too old; otherwise renew it meanwhile.

        One reads for all: if each of a hundred requests looked for itself as the second ends, all
        of them would wait for a hundred looks.
        """
        for _ in range(2):  # what is under way may have begun before another look was asked for
            age = time.monotonic() - self._read_at
            if age < REFRESH_SECONDS / 2:
                return
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read())
                self._reading.add_done_callback(_seen)
            if age < REFRESH_SECONDS:
                return
            await asyncio.shield(self._reading)  # whoever goes away does not stop it

    async def _read(self) -> None:
        asked_at = self._read_at
        try:
            await asyncio.to_thread(self._refresh)
        except (Unavailable, StorageFull):
            # Asked again in a second, and not by every request.
            if time.monotonic() - self._known_at > STALE_SECONDS:
                raise
        if self._read_at == asked_at:
            self._read_at = time.monotonic()

    def _refresh(self) -> None:
        with self._store.session() as session:
            rows = keys(session)
            people = list(session.exec(select(Account).where(Account.project_id == PROJECT)))
        self._any = bool(rows or people)
        self._accounts = frozenset(each.id for each in people if each.removed_at is None)
        self._keys = {
            row.sha256: Caller(row.id, cast(KeyRole, row.role))  # ck_api_key_role holds it
            for row in rows
            if row.revoked_at is None
        }
        self._known_at = time.monotonic()


def require(caller: Caller, role: Role) -> None:
    """Refuse a caller whose role does not reach.

    Raises:
        Forbidden: says which role is needed.
    """
    if caller.allows(role):
        return
    if caller.name:
        raise Forbidden(f"This needs the role `{role}`; yours is `{caller.role}`.")
    least = next(each for each in KEY_ROLES if RANKS[each] >= RANKS[role])
    raise Forbidden(f"This needs a key with the role `{least}`; yours is `{caller.role}`.")


@lru_cache(1024)
def is_loopback(host: str | None) -> bool:
    """Whether an address is this machine's own; names other than localhost are not trusted."""
    if host is None:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def create_key(session: Session, *, role: KeyRole, name: str) -> tuple[ApiKey, str]:
    """Make a key and return its row and, this once, the key itself. The caller commits."""
    token = f"heed_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        id=new_id("key"), role=role, name=name, sha256=hashed(token), created_at=time.time()
    )
    session.add(row)
    return row, token


def keys(session: Session) -> list[ApiKey]:
    """Return every key, oldest first, the revoked ones too."""
    query = select(ApiKey).where(ApiKey.project_id == PROJECT).order_by(col(ApiKey.id))
    return list(session.exec(query))


def revoke_key(session: Session, key_id: str) -> ApiKey:
    """Revoke a key; twice is the same as once. The caller commits.

    Raises:
        NotFound: there is no such key.
    """
    row = session.get(ApiKey, key_id)
    if row is None or row.project_id != PROJECT:
        raise NotFound(f"No key {key_id!r}; `heed keys list` shows them.", param="key_id")
    row.revoked_at = row.revoked_at or time.time()
    session.add(row)
    return row


def audit(session: Session, *, actor: str, action: str, subject: str, detail: str = "") -> None:
    """Write down who did what. The caller commits."""
    session.add(
        AuditEntry(
            id=new_id("aud"),
            actor=actor,
            action=action,
            subject=subject,
            detail=detail,
            at=time.time(),
        )
    )


def hashed(token: str) -> str:
    """Return what is kept of a random token: its SHA-256 (hex)."""
    return hashlib.sha256(token.encode()).hexdigest()


def audited(session: Session, *, actor: str, action: str, subject: str) -> bool:
    """Whether somebody has done something to something before."""
    query = select(AuditEntry.id).where(
        AuditEntry.project_id == PROJECT,
        AuditEntry.actor == actor,
        AuditEntry.action == action,
        AuditEntry.subject == subject,
    )
    return session.exec(query.limit(1)).first() is not None


def _seen(reading: "asyncio.Task[None]") -> None:
    """Whoever waited has the fault; where nobody did, the next one to need the keys meets it."""
    if not reading.cancelled():
        reading.exception()
