"""Is Heed alive, is it ready, and how is it doing."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from feedback.errors import HeedError
from serving.context import Parts
from trainer import registry

router = APIRouter(tags=["health"])


@router.get("/healthz")
def alive() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(parts: Parts) -> Response:
    """Say whether answers and feedback can be taken now, and why not."""
    engine = parts.engine.health()
    route = parts.router.route
    content: dict[str, Any] = {
        "ready": engine.ready,
        "engine": engine.detail,
        "batching": engine.batching,
        "running": engine.running,
        "waiting": engine.waiting,
        "live": route.live,
        "canary": route.canary,
        "generation": route.generation,
        "swap_error": parts.swap.error,
    }
    try:
        with parts.store.session() as session:
            deployed = registry.live(session)
            content["deployed_generation"] = deployed.generation if deployed else 0
    except HeedError as fault:
        content |= {"ready": False, "database": fault.message}
    return JSONResponse(content, status_code=200 if content["ready"] else 503)
