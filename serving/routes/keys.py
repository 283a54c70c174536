"""``/v1/keys``: making, listing and revoking API keys."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from serving import auth, staffing, wire
from serving.auth import KeyRole
from serving.context import AsAdmin, Parts

router = APIRouter(tags=["keys"])


class NewKey(BaseModel):
    """The body of ``POST /v1/keys``."""

    model_config = ConfigDict(extra="forbid")

    role: KeyRole = Field("client", description="What the key allows.")
    name: str = Field("", description="Whose it is, for the list.")


@router.get("/v1/keys")
def index(parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """List the keys, oldest first, the revoked ones too; never the keys themselves."""
    with parts.store.session() as session:
        return wire.page([wire.key(row) for row in auth.keys(session)])


@router.post("/v1/keys", status_code=201)
def create(body: NewKey, parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """Make a key; it is in the answer, and nowhere else."""
    with parts.store.session(write=True) as session:
        row, token = staffing.make_key(session, actor=who.actor, role=body.role, name=body.name)
        said = wire.key(row)
        session.commit()
    return {**said, "key": token}


@router.delete("/v1/keys/{key_id}")
def revoke(key_id: str, parts: Parts, who: AsAdmin) -> dict[str, Any]:
    """Revoke a key; every server refuses it within a second. Idempotent."""
    with parts.store.session(write=True) as session:
        said = wire.key(staffing.revoke_key(session, actor=who.actor, key_id=key_id))
        session.commit()
    return said
