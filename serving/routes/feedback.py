"""``/v1/feedback``: taking what people say, and telling them what became of it."""

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from feedback import receipts
from feedback.errors import Forbidden, HeedError, Invalid, TooLarge
from feedback.intake import Taken, Told
from feedback.models import Feedback
from feedback.submission import Submission, parse
from serving import wire
from serving.auth import Caller
from serving.context import AsClient, AsVoter, Heed, Parts
from serving.tokens import Grant

router = APIRouter(tags=["feedback"])

BATCH_LINES = 10_000
NDJSON = {"application/x-ndjson": {"schema": {"type": "string"}}}


async def submit(
    parts: Heed, who: Caller | Grant, submission: Submission
) -> tuple[dict[str, Any], bool]:
    """Take one piece of feedback; returns its receipt and whether it was known already."""
    taken: Taken = await asyncio.wrap_future(parts.intake.submit(_told(parts, who, submission)))
    return wire.receipt(taken.receipt, taken.completion_id), taken.repeated


@router.post(
    "/v1/feedback",
    status_code=201,
    responses={
        200: {
            "description": "The same event again: the same receipt.",
            "content": {"application/json": {}},
        }
    },
)
async def post(body: Submission, parts: Parts, who: AsVoter) -> Response:
    """Take a rating, correction, comment, preference or signal; 201 once it is on the disk."""
    receipt, repeated = await submit(parts, who, body)
    return JSONResponse(receipt, status_code=200 if repeated else 201)


@router.post(
    "/v1/feedback/batch",
    response_class=Response,
    responses={200: {"description": "A result per line, in order.", "content": NDJSON}},
    openapi_extra={"requestBody": {"required": True, "content": NDJSON}},
)
async def batch(request: Request, parts: Parts, who: AsClient) -> Response:
    """Take many, a JSON object per line; each line gets its own result, in order."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-ndjson":
        raise Invalid(
            f"Send NDJSON with content-type application/x-ndjson, not {kind!r}.",
            param="content-type",
        )
    lines = [line for line in (await request.body()).split(b"\n") if line.strip()]
    if len(lines) > BATCH_LINES:
        raise TooLarge(f"{len(lines):,} lines; at most {BATCH_LINES:,} fit in one batch.")
    results = await asyncio.gather(*(_one(parts, who, line) for line in lines))
    content = "".join(f"{json.dumps(result)}\n" for result in results)
    return Response(content, media_type="application/x-ndjson")


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
        _, feedback = receipts.receipt(session, feedback_id)
        _own(who, feedback)
        found = receipts.withdraw(session, feedback_id)
        session.commit()
    return wire.receipt(found, feedback.exchange_id)


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


async def _one(parts: Heed, who: Caller, line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        fault: HeedError = Invalid("This line is not JSON.")
        return {"status": 422, **wire.error(fault)}
    try:
        receipt, repeated = await submit(parts, who, parse(data))
    except HeedError as error:
        status = 422 if error.code == "invalid" else wire.STATUS[error.code]
        return {"status": status, **wire.error(error)}
    return {"status": 200 if repeated else 201, "id": receipt["id"]}


def _own(who: Caller | Grant, feedback: Feedback) -> None:
    if isinstance(who, Grant):
        if (feedback.exchange_id, feedback.person_id) != (who.completion_id, who.person_id):
            raise Forbidden("This feedback is another person's, or about another answer.")
        return
    if who.key_id != feedback.key_id and not who.allows("reviewer"):
        raise Forbidden("This feedback was sent with another key; a reviewer's key may see it.")
