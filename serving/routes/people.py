"""``/v1/people``: who signs in, and as what. ``/v1/account``: whoever is asking, about themselves."""

import asyncio
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from feedback.errors import Conflict
from serving import accounts, sessions, staffing, wire
from serving.auth import AccountRole, Caller
from serving.context import AsAdmin, AsClient, Heed, Parts

router = APIRouter(tags=["people"])

Name = Annotated[str, Path(min_length=1, max_length=500, description="As the list shows it.")]


class NewPerson(BaseModel):
    """The body of ``POST /v1/people``."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=500, description="What they sign in with.")
    role: AccountRole = Field("viewer", description="What they may do.")
    password: str | None = Field(
        None, description="At least ten characters; by default one is made, and shown this once."
    )


class Change(BaseModel):
    """The body of ``PATCH /v1/people/{name}``; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: AccountRole | None = Field(None, description="What they may do from now on.")
    password: str | None = Field(None, description="Their new password.")
    generate_password: bool = Field(
        False, description="Make a new password, and show it this once."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.role is None and self.password is None and not self.generate_password:
            raise ValueError("send a role, a password or generate_password")
        if self.password is not None and self.generate_password:
            raise ValueError("send either a password or generate_password")
        return self


class OwnPassword(BaseModel):
    """The body of ``POST /v1/account/password``."""

    model_config = ConfigDict(extra="forbid")

    current: str = Field(description="The password of now.")
    password: str = Field(description="The new one, at least ten characters.")


@router.get("/v1/people")
def index(parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """List the accounts, by name."""
    with parts.store.session() as session:
        return wire.page([wire.account(row) for row in accounts.accounts(session)])


@router.post("/v1/people", status_code=201)
def create(body: NewPerson, parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """Make an account; a password that was made here is in the answer, and nowhere else."""
    password = accounts.new_password() if body.password is None else body.password
    with parts.store.session(write=True) as session:
        row = staffing.add(
            session,
            actor=who.actor,
            name=body.name,
            role=body.role,
            password=password,
            memory_mib=parts.settings.serving.password_memory_mib,
        )
        said = wire.account(row)
        session.commit()
    return said if body.password is not None else {**said, "password": password}


@router.patch("/v1/people/{name:path}")
def change(name: Name, body: Change, parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """Change a role or a password, or both; a new password signs the account out everywhere."""
    made = accounts.new_password() if body.generate_password else None
    with parts.store.session(write=True) as session:
        row = accounts.named(session, name)
        if body.role is not None:
            row = staffing.change_role(session, actor=who.actor, name=name, role=body.role)
        if (password := made or body.password) is not None:
            row = staffing.change_password(
                session,
                actor=who.actor,
                name=name,
                password=password,
                memory_mib=parts.settings.serving.password_memory_mib,
            )
        said = wire.account(row)
        session.commit()
    parts.sessions.forget()
    return said if made is None else {**said, "password": made}


@router.delete("/v1/people/{name:path}")
def delete(name: Name, parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """Remove an account; it is signed out everywhere, and its name is free again."""
    with parts.store.session(write=True) as session:
        said = wire.account(staffing.remove(session, actor=who.actor, name=name))
        session.commit()
    parts.sessions.forget()
    return {**said, "removed": True}


@router.get("/v1/account")
def own(who: AsClient) -> dict[str, Any]:
    """Say who is asking, and what they may do."""
    return {"id": who.key_id, "object": "caller", "name": who.name or None, "role": who.role}


@router.post("/v1/account/password")
async def change_own_password(
    body: OwnPassword, request: Request, parts: Parts, who: AsClient
) -> dict[str, Any]:
    """Change one's own password; signs out everywhere, here too."""
    address = request.client.host if request.client else "unknown"
    await asyncio.to_thread(
        own_password,
        parts,
        who,
        current=body.current,
        password=body.password,
        address=address,
    )
    return {"object": "account", "id": who.key_id, "signed_out": True}


@router.delete("/v1/account/sessions")
def end_own_sessions(parts: Parts, who: AsClient) -> dict[str, Any]:
    """Sign out everywhere, here too."""
    name = _account_name(who)
    with parts.store.session(write=True) as session:
        staffing.sign_out_everywhere(session, actor=who.actor, name=name)
        session.commit()
    parts.sessions.forget()
    return {"object": "account", "id": who.key_id, "signed_out": True}


def own_password(parts: Heed, who: Caller, *, current: str, password: str, address: str) -> None:
    """Change the caller's own password, once they have proved the one of now.

    Raises:
        Conflict: the caller is no account, or one whose password a sign-in provider has.
        Unauthorized: the current password is wrong.
        Busy: too many were wrong lately.
        Invalid: the new one does not do; says why.
    """
    name = _account_name(who)
    settings = parts.settings.serving
    with parts.store.session() as session:
        if accounts.is_elsewhere(accounts.named(session, name)):
            raise Conflict("Your password is the sign-in provider's; change it there.")
    accounts.hash_password(password, settings.password_memory_mib)  # refused before one is tried
    sessions.prove(parts.store, settings, name=name, password=current, address=address)
    with parts.store.session(write=True) as session:
        staffing.change_password(
            session,
            actor=who.actor,
            name=name,
            password=password,
            memory_mib=settings.password_memory_mib,
        )
        session.commit()
    parts.sessions.forget()


def _account_name(who: Caller) -> str:
    if not who.name:
        raise Conflict(
            "This is for people who are signed in; a key has no password and no sessions. "
            "`heed keys` makes and revokes keys."
        )
    return who.name
