"""``/v1/insights``: satisfaction over time, what people complain about, what they correct."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query

from feedback import insights
from feedback.errors import Invalid
from feedback.insights import By, Every
from serving.context import AsReviewer, Parts

router = APIRouter(tags=["insights"])
DAYS = 30.0
DAY_SECONDS = 86_400.0
Moment = Annotated[float | None, Query(ge=0, le=4e9, allow_inf_nan=False)]


@router.get("/v1/insights/satisfaction")
def satisfaction(
    parts: Parts,
    who: AsReviewer,
    *,
    since: Moment = None,
    until: Moment = None,
    every: Every = "day",
    by: By | None = None,
) -> dict[str, Any]:
    """Tell how satisfied people were over time, with 95% intervals; thirty days by default."""
    begin, end = span(since, until)
    with parts.store.session() as session:
        return insights.satisfaction(session, since=begin, until=end, every=every, by=by)


@router.get("/v1/insights/complaints")
def complaints(
    parts: Parts, who: AsReviewer, since: Moment = None, until: Moment = None
) -> dict[str, Any]:
    """Tell what people complained about, grouped and labelled by its terms."""
    begin, end = span(since, until)
    with parts.store.session() as session:
        return insights.complaints(session, since=begin, until=end)


@router.get("/v1/insights/corrections")
def corrections(
    parts: Parts,
    who: AsReviewer,
    *,
    since: Moment = None,
    until: Moment = None,
    every: Every = "day",
) -> dict[str, Any]:
    """Tell how many corrections came over time, and what became of them."""
    begin, end = span(since, until)
    with parts.store.session() as session:
        return insights.corrections(session, since=begin, until=end, every=every)


def span(since: float | None, until: float | None) -> tuple[float, float]:
    """Return the time that is asked about: its beginning and its end, Unix seconds.

    Raises:
        Invalid: it ends before it begins.
    """
    end = time.time() + 1 if until is None else until
    begin = max(0.0, end - DAYS * DAY_SECONDS) if since is None else since
    if begin >= end:
        raise Invalid("`until` must be later than `since`.", param="until")
    return begin, end
