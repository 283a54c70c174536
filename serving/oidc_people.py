"""Whose account it is that a sign-in provider vouches for, and what they may do. Knows no HTTP.

An account belongs to the provider's `sub` and to nothing else: names change hands. What it may do is
the provider's word at every sign-in. Nobody gets an account here that has a password.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from feedback.errors import Conflict, Forbidden, HeedError, Invalid
from feedback.store import Store
from serving import accounts, sessions
from serving.auth import RANKS, AccountRole, audit
from serving.models import Account
from serving.settings import ServingSettings


def sign_in(
    store: Store, settings: ServingSettings, claims: Mapping[str, Any], *, address: str
) -> str:
    """Begin a session of whoever the claims are about and return its token.

    Makes the account at the first time, and brings its name and role up to date at every other.
    Opens and commits its own sessions.

    Args:
        store: the database.
        settings: which claims say the name and the role.
        claims: of a token that holds.
        address: of the browser, for the audit log.

    Raises:
        Forbidden: no value of theirs gives a role; an account that they had is signed out.
        Conflict: somebody else has the name.
        Invalid: the name is missing or does not do.
    """
    subject = accounts.subject_of(str(settings.oidc_issuer), str(claims["sub"]))
    try:
        try:
            return _sign_in(store, settings, claims, subject, address)
        except IntegrityError:  # of somebody's first two at once one finds the other's account
            return _sign_in(store, settings, claims, subject, address)
    except HeedError as fault:
        _refused(store, subject, fault, address)
        raise


def role_of(settings: ServingSettings, claims: Mapping[str, Any]) -> AccountRole | None:
    """Return the highest role that the claims give; the default where they give none."""
    found = _within(claims, settings.oidc_role_claim)
    values = found if isinstance(found, list) else [found]
    given = [
        settings.oidc_roles[each]
        for each in values
        if isinstance(each, str) and each in settings.oidc_roles
    ]
    return max(given, key=RANKS.__getitem__, default=settings.oidc_default_role)


def name_of(settings: ServingSettings, claims: Mapping[str, Any]) -> str:
    """Return the name that the claims give.

    Raises:
        Invalid: there is none, it does not do, or it is an address that nobody has confirmed.
    """
    claim = settings.oidc_name_claim
    found = _within(claims, claim)
    if not isinstance(found, str):
        raise Invalid(
            f"The provider does not tell your name: there is no text `{claim}` among "
            f"{', '.join(sorted(claims))}. Whoever runs Heed looks at serving.oidc_name_claim and "
            "serving.oidc_scopes.",
            param="serving.oidc_name_claim",
        )
    if claim == "email" and claims.get("email_verified") is False:
        raise Invalid("The provider has not confirmed that your e-mail address is yours.")
    return accounts.usable(found)


def _sign_in(
    store: Store,
    settings: ServingSettings,
    claims: Mapping[str, Any],
    subject: str,
    address: str,
) -> str:
    role = role_of(settings, claims)
    if role is None:
        raise Forbidden(
            "The provider knows you, and nothing that it says of you gives a role in Heed. Whoever "
            f"runs Heed looks at serving.oidc_roles: they are about `{settings.oidc_role_claim}`."
        )
    name = name_of(settings, claims)
    with store.session(write=True) as session:
        row = accounts.of_subject(session, subject)
        if row is None:
            row = _new(session, name, role, subject)
        else:
            _renew(session, row, name, role)
        token = sessions.begin(session, settings, row)
        audit(
            session,
            actor=row.id,
            action="session.begin",
            subject=row.id,
            detail=f"from {address}, by OIDC",
        )
        session.commit()
    return token


def _new(session: Session, name: str, role: AccountRole, subject: str) -> Account:
    if accounts.find(session, name) is not None:
        raise Conflict(
            f"There is an account {name!r} already, and it is not the provider's: sign in with its "
            "password. To have it signed in by the provider, an admin removes it first.",
            param="name",
        )
    row = accounts.create_elsewhere(session, name=name, role=role, subject=subject)
    audit(session, actor="oidc", action="account.create", subject=row.id, detail=role)
    return row


def _renew(session: Session, row: Account, name: str, role: AccountRole) -> None:
    if row.name != name and accounts.find(session, name) is None:
        detail = f"{row.name} to {name}"
        audit(session, actor="oidc", action="account.name", subject=row.id, detail=detail)
        row.name = name
    if row.role != role:
        # Also of the last admin: it is the provider's word, and a shell on the server makes others.
        detail = f"{row.role} to {role}"
        audit(session, actor="oidc", action="account.role", subject=row.id, detail=detail)
        row.role = role
    session.add(row)


def _refused(store: Store, subject: str, fault: HeedError, address: str) -> None:
    """Write it down; whoever may not in any more is not left in elsewhere either."""
    with store.session(write=True) as session:
        row = accounts.of_subject(session, subject)
        if row is not None and isinstance(fault, Forbidden):
            accounts.end_sessions(session, row)
        who = row.id if row else "unknown"
        detail = f"from {address}, by OIDC: {fault.code}"
        audit(session, actor=who, action="session.failed", subject=who, detail=detail)
        session.commit()


def _within(claims: Mapping[str, Any], path: str) -> object:
    """Return a claim by its name; where none is called that, by the way that dots lead."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
