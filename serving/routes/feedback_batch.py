"""``POST /v1/feedback/batch``: many at once, a JSON object a line, with a result for each line."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache

from fastapi import APIRouter, Request, Response

from feedback.errors import HeedError, TooLarge, Unsupported
from feedback.intake import Taken, Told
from feedback.settings import FeedbackSettings
from feedback.submission import parse_json
from serving import wire
from serving.auth import Caller
from serving.context import AsClient, Heed, Parts
from serving.routes.feedback import media_type

router = APIRouter(tags=["feedback"])

MOST_LINES = 10_000
MEDIA_TYPE = "application/x-ndjson"
_NDJSON = {MEDIA_TYPE: {"schema": {"type": "string"}}}
_AFTER_SECONDS = 1e-6
"""Between two lines without a time of their own, so that the later one counts. Writing a line takes
longer than that, so whatever is said after the answer to a batch comes after all of it."""


@router.post(
    "/v1/feedback/batch",
    response_class=Response,
    responses={200: {"description": "A result per line, in order.", "content": _NDJSON}},
    openapi_extra={"requestBody": {"required": True, "content": _NDJSON}},
)
async def batch(request: Request, parts: Parts, who: AsClient) -> Response:
    """Take many, a JSON object per line; each line gets its own result, in order, and a blank one none.

    All lines share one transaction and one fsync. Where the database takes none of them, the whole
    batch is refused (503 or 507) and may be sent again: events with an `event_id` are taken once.
    """
    kind = media_type(request)
    if kind != MEDIA_TYPE:
        raise Unsupported(
            f"Send NDJSON with content-type {MEDIA_TYPE}, not {kind!r}.", param="content-type"
        )
    lines = [line for line in (await request.body()).split(b"\n") if line.strip()]
    if len(lines) > MOST_LINES:
        raise TooLarge(f"{len(lines):,} lines; at most {MOST_LINES:,} fit in one batch.")
    # In a thread: ten thousand lines keep Python busy for longer than a chat should wait.
    read = await asyncio.to_thread(_read, parts, who, lines)
    taken = iter(await parts.intake.take_all([each for each in read if isinstance(each, Told)]))
    results = [next(taken) if isinstance(each, Told) else each for each in read]
    content = await asyncio.to_thread(_written, results)
    for result, count in Counter(map(_kind, results)).items():
        parts.metrics.batch_lines.labels(result).inc(count)
    return Response(content, media_type=MEDIA_TYPE)


def _read(parts: Heed, who: Caller, lines: Sequence[bytes]) -> list[Told | HeedError]:
    @cache  # a batch is often of few people
    def person(user: str | None) -> str:
        return parts.person_id(user, who)

    settings: FeedbackSettings = parts.settings.feedback
    key, arrived_at = parts.people.id, time.time()
    read: list[Told | HeedError] = []
    for at, line in enumerate(lines):
        try:
            said = parse_json(line)
            said.check_texts(settings)
            moment = arrived_at + at * _AFTER_SECONDS
            read.append(Told(said, person(said.user), key, who.key_id, moment))
        except HeedError as fault:
            read.append(fault)
    return read


def _written(results: Sequence[Taken | HeedError]) -> str:
    return "".join(map(_line, results))


def _line(result: Taken | HeedError) -> str:
    if isinstance(result, Taken):
        status = 200 if result.repeated else 201
        return f'{{"status": {status}, "id": "{result.kept.feedback_id}"}}\n'
    status = 422 if result.code == "invalid" else wire.STATUS[result.code]
    return f"{json.dumps({'status': status, **wire.error(result)})}\n"


def _kind(result: Taken | HeedError) -> str:
    if isinstance(result, HeedError):
        return "refused"
    return "repeated" if result.repeated else "taken"
