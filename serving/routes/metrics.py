"""``GET /metrics`` for Prometheus, for whom the setting ``serving.metrics`` says."""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from feedback.errors import NotFound
from serving.auth import require
from serving.context import Parts, caller

router = APIRouter(tags=["health"])

KINDS = ("text/plain", "application/openmetrics-text")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in KINDS}}},
)
async def scrape(request: Request, parts: Parts) -> Response:
    """Tell Prometheus how Heed is doing; who may ask is the setting `serving.metrics`."""
    access = parts.settings.serving.metrics
    if access == "off":
        raise NotFound("Metrics are switched off; set serving.metrics to `admin` or `open`.")
    if access == "admin":
        require(await caller(request), "admin")
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    text = await asyncio.to_thread(
        encode, parts.metrics.registry
    )  # some of it is asked of the database
    return Response(text, headers={"content-type": media_type})
