"""``/v1/feedback/signals`` and ``/v1/feedback/trust``: what signals mean here, whose word counts less."""

from typing import Any

from fastapi import APIRouter

from feedback import reports
from serving.context import AsReviewer, Parts

router = APIRouter(tags=["feedback"])


@router.get("/v1/feedback/signals")
def signals(parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Tell what signals say of satisfaction: reliability, Brier score, AUC, each signal's worth."""
    with parts.store.session() as session:
        return reports.signals(session, parts.settings.feedback)


@router.get("/v1/feedback/trust")
def trust(parts: Parts, who: AsReviewer) -> dict[str, Any]:
    """Tell how noisy votes are, and which accounts count less, and why; names are never in clear."""
    with parts.store.session() as session:
        return reports.trust(session, parts.settings.feedback)
