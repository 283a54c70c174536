"""``/v1/adapters``: what the model has learned, which version is live, and changing that."""

import asyncio
import shutil
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from serving import wire
from serving.auth import audit
from serving.context import AsOperator, AsReviewer, Heed, Parts
from trainer import export, registry
from trainer import round as rounds
from trainer.models import Deployment

router = APIRouter(tags=["adapters"])


class Promotion(BaseModel):
    """The body of a promotion; everything is optional."""

    model_config = ConfigDict(extra="forbid")

    canary_share: float = Field(0.0, ge=0, lt=1, description="0 makes it live at once.")
    reason: str = Field("promoted by hand", max_length=2000, pattern=r"^[^\x00]*$")


class Rollback(BaseModel):
    """The body of a rollback; everything is optional."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("rolled back by hand", max_length=2000, pattern=r"^[^\x00]*$")


@router.get("/v1/adapters")
def index(parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """List adapters, newest first, and what is deployed."""
    with parts.store.session() as session:
        rows = [wire.adapter(row) for row in registry.adapters(session)]
        return {**wire.page(rows), "deployment": wire.deployment(registry.live(session))}


@router.get("/v1/adapters/{adapter_id}")
def show(adapter_id: str, parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Show one adapter."""
    with parts.store.session() as session:
        return wire.adapter(registry.get(session, adapter_id))


@router.get(
    "/v1/adapters/{adapter_id}/card",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
def card(adapter_id: str, parts: Parts, who: AsReviewer) -> Response:
    """Return an adapter's model card, as Markdown."""
    with parts.store.session() as session:
        row = registry.get(session, adapter_id)
        made_by = rounds.get(session, row.round_id) if row.round_id else None
        written = export.model_card(row, made_by)
    return Response(written, media_type="text/markdown")


@router.get(
    "/v1/adapters/{adapter_id}/export",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def download(adapter_id: str, parts: Parts, who: AsOperator) -> FileResponse:
    """Return an adapter as a plain PEFT folder with its model card, in a zip archive."""
    with parts.store.session() as session:
        row = registry.get(session, adapter_id)
        made_by = rounds.get(session, row.round_id) if row.round_id else None
    archive = export.zipped(parts.settings.feedback.data_dir, row, made_by)
    tidy = BackgroundTask(shutil.rmtree, archive.parent, ignore_errors=True)
    return FileResponse(
        archive, media_type="application/zip", filename=archive.name, background=tidy
    )


@router.post("/v1/adapters/rollback")
async def rollback(parts: Parts, who: AsOperator, body: Rollback | None = None) -> dict[str, Any]:
    """Go back to the live adapter's parent; answers when this replica serves it."""
    reason = (body or Rollback()).reason
    target = await asyncio.to_thread(_target, parts)
    if target is not None:
        await parts.swap.rehearse(target)
    deployment = await asyncio.to_thread(_roll_back, parts, who.actor, reason)
    await parts.swap.sync()
    return wire.deployment(deployment)


@router.post("/v1/adapters/{adapter_id}/promote")
async def promote(
    adapter_id: str, parts: Parts, who: AsOperator, body: Promotion | None = None
) -> dict[str, Any]:
    """Make an adapter live; answers when this replica serves it. Idempotent."""
    wish = body or Promotion()
    # Before it is deployed: a damaged adapter never becomes what every replica should serve.
    await parts.swap.rehearse(adapter_id)
    deployment = await asyncio.to_thread(_promote, parts, who.actor, adapter_id, wish)
    await parts.swap.sync()
    return wire.deployment(deployment)


def _promote(parts: Heed, actor: str, adapter_id: str, wish: Promotion) -> Deployment:
    with parts.store.session(write=True) as session:
        deployment = registry.promote(
            session,
            adapter_id,
            actor=actor,
            reason=wish.reason,
            canary_share=wish.canary_share,
        )
        audit(session, actor=actor, action="adapter.promote", subject=adapter_id)
        session.commit()
    return deployment


def _target(parts: Heed) -> str | None:
    with parts.store.session() as session:
        return registry.rollback_target(session)


def _roll_back(parts: Heed, actor: str, reason: str) -> Deployment:
    with parts.store.session(write=True) as session:
        before = registry.live(session)
        deployment = registry.rollback(session, actor=actor, reason=reason)
        subject = (before.live_id if before else None) or "base"
        audit(session, actor=actor, action="adapter.rollback", subject=subject)
        session.commit()
    return deployment
