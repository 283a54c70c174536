"""``/v1/adapters/canary``, ``/ab`` and ``/ranking``: versions compared by the people who use them."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serving import canary_watch, preferences, wire
from serving.auth import audit
from serving.context import AsOperator, AsReviewer, Heed, Parts
from trainer import ab, registry
from trainer.models import Deployment

router = APIRouter(tags=["adapters"])

Version = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,200}$")]


class Comparison(BaseModel):
    """The body that starts an A/B comparison."""

    model_config = ConfigDict(extra="forbid")

    a: Version = Field(description="Id of a version; `base` for the base model.")
    b: Version = Field(description="Id of another.")
    share: float = Field(0.5, gt=0, lt=1, description="Share of people whom `b` answers.")
    reason: str = Field("compared by hand", max_length=2000, pattern=r"^[^\x00]*$")


@router.get("/v1/adapters/canary")
def canary(parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Show what people's votes, signals, errors and waiting say of the two versions that answer."""
    with parts.store.session() as session:
        return canary_watch.watched(session, parts.settings).to_json()


@router.get("/v1/adapters/ranking")
def ranking(parts: Parts, who: AsReviewer, reference: str | None = None) -> dict[str, Any]:
    """Rank versions by the preferences between their answers (Bradley–Terry)."""
    with parts.store.session() as session:
        return preferences.ranking(session, reference)


@router.post("/v1/adapters/ab")
async def start(body: Comparison, parts: Parts, who: AsOperator) -> dict[str, Any]:
    """Let two versions answer side by side; answers when this replica serves both."""
    for name in {body.a, body.b} - {ab.BASE}:
        await parts.swap.rehearse(name)
    deployment = await asyncio.to_thread(_start, parts, who.actor, body)
    await parts.swap.sync()
    return wire.deployment(deployment)


@router.delete("/v1/adapters/ab")
async def stop(parts: Parts, who: AsOperator) -> dict[str, Any]:
    """End the comparison: what was live before is live again."""
    deployment = await asyncio.to_thread(_stop, parts, who.actor)
    await parts.swap.sync()
    return wire.deployment(deployment)


def _start(parts: Heed, actor: str, wish: Comparison) -> Deployment:
    with parts.store.session(write=True) as session:
        made = ab.start(session, wish.a, wish.b, share=wish.share, actor=actor, reason=wish.reason)
        audit(session, actor=actor, action="adapter.ab", subject=f"{wish.a} {wish.b}")
        session.commit()
    return made


def _stop(parts: Heed, actor: str) -> Deployment:
    with parts.store.session(write=True) as session:
        before = registry.live(session)
        made = ab.stop(session, actor=actor, reason="the comparison was ended by hand")
        subject = f"{before.live_id or 'base'} {before.canary_id}" if before else "base"
        audit(session, actor=actor, action="adapter.ab.stop", subject=subject)
        session.commit()
    return made
