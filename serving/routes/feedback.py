"""``/v1/feedback``: taking what people say, and telling them what became of it."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from feedback import receipts
from feedback.errors import Forbidden, Unsupported
from feedback.intake import Told
from feedback.models import Feedback
from feedback.submission import Submission, parse_json
from serving import wire
from serving.auth import Caller
from serving.context import AsVoter, Heed, Parts, heed, voter
from serving.routes.direct import Direct
from serving.tokens import Grant

router = APIRouter(tags=["feedback"])
busiest = APIRouter(tags=["feedback"], route_class=Direct)
"""Its routes go to the front of the application's own."""


async def submit(
    parts: Heed, who: Caller | Grant, submission: Submission
) -> tuple[dict[str, Any], bool]:
    """Take one piece of feedback; returns its receipt and whether it was known already."""
    taken = await parts.intake.take(_told(parts, who, submission))
    return wire.receipt(taken.kept, taken.completion_id), taken.repeated


@busiest.post(
    "/v1/feedback",
    status_code=201,
    responses={
        **wire.ERRORS,
        200: {
            "description": "The same event again: the same receipt.",
            "content": {"application/json": {}},
        },
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Submission.model_json_schema()}},
        }
    },
)
async def post(request: Request) -> Response:
    """Take a rating, correction, comment, preference or signal; 201 once it is on the disk."""
    parts, who = await heed(request), await voter(request)
    kind = media_type(request)
    if kind != "application/json" and not kind.endswith("+json"):
        raise Unsupported(
            f"Send JSON with content-type application/json, not {kind!r}.", param="content-type"
        )
    receipt, repeated = await submit(parts, who, parse_json(await request.body()))
    status = 200 if repeated else 201
    return Response(to_json(receipt), status, media_type="application/json")


@router.get("/v1/feedback/{feedback_id}")
def read(feedback_id: str, parts: Parts, who: AsVoter) -> dict[str, Any]:
    """Tell what became of one piece of feedback."""
    with parts.store.session() as session:
        found, feedback = receipts.receipt(session, feedback_id)
    if found.status != "forgotten":  # then nothing says any more whose it was, nor what it said
        _own(who, feedback)
    return wire.receipt(found, feedback.exchange_id)


@router.delete("/v1/feedback/{feedback_id}")
def withdraw(feedback_id: str, parts: Parts, who: AsVoter) -> dict[str, Any]:
    """Take a vote back, as long as no round has learned from it."""
    with parts.store.session(write=True) as session:
        found, feedback = receipts.receipt(session, feedback_id)
        if found.status != "forgotten":  # which is withdrawn for good
            _own(who, feedback)
        found = receipts.withdraw(session, feedback_id)
        session.commit()
    return wire.receipt(found, feedback.exchange_id)


def media_type(request: Request) -> str:
    """Return what the body is said to be.

    Raises:
        Unsupported: it is packed.
    """
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise Unsupported(
            f"Send it unpacked: content-encoding {packed!r} is not read here.",
            param="content-encoding",
        )
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _told(parts: Heed, who: Caller | Grant, submission: Submission) -> Told:
    if isinstance(who, Grant):
        speaker = Caller(who.key_id, "client")
        named = parts.person_id(submission.user, speaker) if submission.user else None
        said = who.admit(submission, named)
        return Told(said, who.person_id, who.people_key_id, who.key_id)
    return Told(
        submission=submission,
        person_id=parts.person_id(submission.user, who),
        people_key_id=parts.people.id,
        key_id=who.key_id,
    )


def _own(who: Caller | Grant, feedback: Feedback) -> None:
    if isinstance(who, Grant):
        if (feedback.exchange_id, feedback.person_id) != (who.completion_id, who.person_id):
            raise Forbidden("This feedback is another person's, or about another answer.")
        return
    if who.key_id != feedback.key_id and not who.allows("reviewer"):
        raise Forbidden("This feedback was sent with another key; a reviewer's key may see it.")
