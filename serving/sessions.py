"""Signed-in browsers: beginning, recognising, renewing and ending sessions, all in the database.

A session is a random token that the browser keeps as a cookie and the database as a hash. Knows no
HTTP. `begin` makes one of an account, however somebody proved who they are: by a password here, by a
provider in `oidc_people`.
"""

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import cast

from sqlalchemy import func
from sqlmodel import Session, col, delete, select

from feedback.errors import Busy, Unauthorized
from feedback.ids import new_id
from feedback.settings import PROJECT
from feedback.store import Store
from serving import accounts
from serving.auth import REFRESH_SECONDS, AccountRole, Caller, audit, hashed
from serving.models import Account, ConsoleSession, SignInAttempt
from serving.settings import ServingSettings

MOST_SECONDS = 7 * 86400.0
"""After this a browser signs in again, however busy it was."""
WINDOW_SECONDS = 900.0
MOST_OF_A_NAME = 10
MOST_OF_AN_ADDRESS = 30
"""So many wrong passwords within the window, then nothing is tried until it has passed."""
_KEPT = 10_000


@dataclass(frozen=True)
class Known:
    """What was last read of a session: whose it is, and when that was (monotonic seconds)."""

    caller: Caller | None
    at: float


class Sessions:
    """Recognises sessions; what ended or changed elsewhere takes effect within a second."""

    def __init__(self, store: Store, settings: ServingSettings) -> None:
        self._store = store
        self._settings = settings
        self._known: dict[str, Known] = {}

    async def caller(self, token: str) -> Caller | None:
        """Return whose session this is; None where it is none, or over."""
        digest = hashed(token)
        known = self._known.get(digest)
        if known is None or time.monotonic() - known.at >= REFRESH_SECONDS:
            known = Known(await asyncio.to_thread(self._read, digest), time.monotonic())
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[digest] = known
        return known.caller

    def forget(self) -> None:
        """Look at the database again for everybody, as after a session has been ended here."""
        self._known.clear()

    def _read(self, digest: str) -> Caller | None:
        with self._store.session() as session:
            found = _of(session, digest)
            if found is None:
                return None
            row, account = found
            now = time.time()
            until = _until(self._settings, row.created_at, now)
            late = until - row.expires_at > 0.1 * self._settings.session_hours * 3600
            who = Caller(account.id, cast(AccountRole, account.role), account.name)
        if late:
            with self._store.session(write=True) as session:
                again = session.get(ConsoleSession, row.id)
                if again is not None:
                    again.expires_at = until
                    session.add(again)
                    session.commit()
        return who


def sign_in(
    store: Store, settings: ServingSettings, *, name: str, password: str, address: str
) -> str:
    """Begin a session and return its token. Opens and commits its own sessions.

    Raises:
        Unauthorized: the name or the password is wrong; not which.
        Busy: too many were wrong lately, for this name or from this address.
    """
    account = prove(store, settings, name=name, password=password, address=address)
    with store.session(write=True) as session:
        token = begin(session, settings, account)
        _note(session, account, "session.begin", address)
        session.commit()
    return token


def prove(
    store: Store, settings: ServingSettings, *, name: str, password: str, address: str
) -> Account:
    """Return the account that a name and a password are of. Opens and commits its own sessions.

    An attempt is counted before it is tried, so that a hundred at once are a hundred.

    Raises:
        Unauthorized: the name or the password is wrong; not which.
        Busy: too many were wrong lately, for this name or from this address.
    """
    digest = hashlib.sha256(accounts.normal(name).encode(errors="replace")).hexdigest()
    attempt = new_id("att")
    with store.session(write=True) as session:
        now = time.time()
        session.exec(delete(SignInAttempt).where(col(SignInAttempt.at) < now - WINDOW_SECONDS))
        session.add(SignInAttempt(id=attempt, name_sha256=digest, address=address, at=now))
        session.commit()
    with store.session() as session:
        of_name = _count(session, SignInAttempt.name_sha256 == digest)
        of_address = _count(session, SignInAttempt.address == address)
        account = accounts.find(session, name)
    if of_name > MOST_OF_A_NAME or of_address > MOST_OF_AN_ADDRESS:
        with store.session(write=True) as session:
            _note(session, account, "session.refused", address)
            session.commit()
        raise Busy(
            "Too many wrong passwords. Wait a quarter of an hour, or have somebody with a shell on "
            "the server run `heed people password NAME`.",
            after_seconds=int(WINDOW_SECONDS),
        )
    right = accounts.verify(account, password, settings.password_memory_mib)
    with store.session(write=True) as session:
        if not right or account is None:
            _note(session, account, "session.failed", address)
            session.commit()
            raise Unauthorized("The name or the password is wrong.")
        forgive(session, account.name)
        session.commit()
    return account


def begin(session: Session, settings: ServingSettings, account: Account) -> str:
    """Begin a session of somebody who proved who they are; returns its token. The caller commits."""
    token, now = secrets.token_urlsafe(32), time.time()
    session.exec(delete(ConsoleSession).where(col(ConsoleSession.expires_at) < now))
    session.add(
        ConsoleSession(
            id=new_id("ses"),
            account_id=account.id,
            sha256=hashed(token),
            created_at=now,
            expires_at=_until(settings, now, now),
        )
    )
    return token


def end(session: Session, token: str, *, everywhere: bool = False) -> None:
    """End a session, or every one of its account's. The caller commits."""
    found = _of(session, hashed(token))
    if found is None:
        return
    row, account = found
    audit(
        session,
        actor=account.id,
        action="session.end_all" if everywhere else "session.end",
        subject=account.id,
    )
    if everywhere:
        accounts.end_sessions(session, account)
    else:
        session.delete(row)


def forgive(session: Session, name: str) -> None:
    """Forget the wrong passwords of a name. The caller commits."""
    digest = hashlib.sha256(accounts.normal(name).encode(errors="replace")).hexdigest()
    session.exec(delete(SignInAttempt).where(col(SignInAttempt.name_sha256) == digest))


def _of(session: Session, digest: str) -> tuple[ConsoleSession, Account] | None:
    query = (
        select(ConsoleSession, Account)
        .where(ConsoleSession.account_id == Account.id)
        .where(
            ConsoleSession.project_id == PROJECT,
            ConsoleSession.sha256 == digest,
            ConsoleSession.expires_at > time.time(),
            col(Account.removed_at).is_(None),
        )
    )
    found = session.exec(query).first()
    return None if found is None else (found[0], found[1])


def _until(settings: ServingSettings, created_at: float, now: float) -> float:
    return min(now + settings.session_hours * 3600, created_at + MOST_SECONDS)


def _count(session: Session, whose: bool) -> int:
    query = select(func.count()).select_from(SignInAttempt)
    lately = SignInAttempt.at >= time.time() - WINDOW_SECONDS
    return session.exec(query.where(SignInAttempt.project_id == PROJECT, lately, whose)).one()


def _note(session: Session, account: Account | None, action: str, address: str) -> None:
    name = account.id if account else "unknown"
    audit(session, actor=name, action=action, subject=name, detail=f"from {address}")
