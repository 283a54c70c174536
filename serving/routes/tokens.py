"""``POST /v1/feedback/tokens``: for the app's own server, so that its pages need no key."""

import time
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from feedback.errors import NotFound
from feedback.models import Exchange
from feedback.settings import PROJECT
from feedback.submission import Name
from feedback.text import checked
from serving.context import AsClient, Parts
from serving.tokens import KINDS, MOST_SECONDS, Grant, Kind

router = APIRouter(tags=["feedback"])

USUAL_KINDS: list[Kind] = [kind for kind in KINDS if kind != "survey"]


class TokenRequest(BaseModel):
    """What a token is to allow."""

    model_config = ConfigDict(extra="forbid")

    completion_id: Name = Field(description="Id of the answer that may be spoken of.")
    user: Name | None = Field(
        None,
        description="Who may speak; by default whoever the answer was given to, if this key asked.",
    )
    kinds: list[Kind] = Field(
        USUAL_KINDS,
        min_length=1,
        max_length=len(KINDS),
        description="Which fields of feedback may be sent; by default all but surveys.",
    )
    expires_in_seconds: int = Field(
        3600, ge=1, le=MOST_SECONDS, description="How long it is valid, a day at most."
    )


@router.post("/v1/feedback/tokens", status_code=201)
def issue(body: TokenRequest, parts: Parts, who: AsClient) -> dict[str, Any]:
    """Make a token that lets a web page send one person's feedback on one answer, for a while."""
    most = parts.settings.feedback.max_text_bytes
    checked(body.completion_id, "completion_id", max_bytes=most)
    with parts.store.session() as session:
        exchange = session.get(Exchange, body.completion_id)
    if exchange is None or exchange.project_id != PROJECT or exchange.state == "forgotten":
        raise NotFound(
            f"No completion {body.completion_id!r} is on record; those sent with `store: false` "
            "never are, and what was forgotten is no more.",
            param="completion_id",
        )
    if body.user is not None:
        checked(body.user, "user", max_bytes=most)
    person_id, people_key_id = parts.person_id(body.user, who), parts.people.id
    if body.user is None and (exchange.key_id == who.key_id or who.allows("reviewer")):
        # Not for another key's answers: it would speak for people whom it does not know.
        person_id, people_key_id = exchange.person_id, exchange.people_key_id
    grant = Grant(
        completion_id=exchange.id,
        person_id=person_id,
        people_key_id=people_key_id,
        key_id=who.key_id,
        kinds=tuple(dict.fromkeys(body.kinds)),
        expires_at=int(time.time()) + body.expires_in_seconds,
    )
    return {
        "object": "feedback.token",
        "token": parts.tokens.issue(grant),
        "expires_at": grant.expires_at,
        "completion_id": grant.completion_id,
        "kinds": list(grant.kinds),
    }
