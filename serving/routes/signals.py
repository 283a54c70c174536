"""``POST /v1/feedback/signals``: what the widget noticed, in one request that outlives its page.

A page that is left can only send what needs no question beforehand (a beacon), so this route reads
JSON that is called plain text, and takes the token from the body.
"""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedback.errors import Invalid
from feedback.submission import Name, first_fault, parse
from serving.context import Parts, granted, voter
from serving.routes.feedback import submit
from serving.tokens import Grant

router = APIRouter(tags=["feedback"])


class Noticed(BaseModel):
    """Signals about one answer."""

    model_config = ConfigDict(extra="forbid")

    token: str | None = Field(
        None, description="A feedback token, where no `Authorization` header can be sent."
    )
    completion_id: Name | None = Field(
        None, description="Id of the answer; a token names it already."
    )
    event_id: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="Your id of this request: sent again, it changes nothing."
    )
    signals: dict[Annotated[str, Field(max_length=64)], float | None] = Field(
        min_length=1,
        max_length=20,
        description='Signals with their sizes, if they have one: {"dwell": 12.5, "copy": null}.',
    )


_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": Noticed.model_json_schema()}},
    }
}


@router.post("/v1/feedback/signals", status_code=201, openapi_extra=_SCHEMA)
async def take(request: Request, parts: Parts) -> dict[str, Any]:
    """Take several signals about one answer at once; the body may be sent as plain text."""
    raw = await request.body()
    try:
        noticed = Noticed.model_validate_json(raw)
    except ValidationError as error:
        await voter(request)  # who may not send anything learns nothing of what is wrong with it
        message, param = first_fault(error)
        raise Invalid(message, param=param) from error
    token, about = noticed.token, noticed.completion_id
    who = await voter(request) if token is None else await granted(parts, token)
    if isinstance(who, Grant):
        about = about or who.completion_id
    told = [
        parse(
            {
                "completion_id": about,
                "signal": name,
                "value": value,
                "event_id": noticed.event_id and f"{noticed.event_id}/{name}",
            }
        )
        for name, value in noticed.signals.items()
    ]
    results = await asyncio.gather(*(submit(parts, who, each) for each in told))
    return {"object": "list", "data": [receipt for receipt, _ in results]}
