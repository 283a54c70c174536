"""``POST /v1/completions``: a bare text, continued as it stands."""

from fastapi import APIRouter, Request, Response

from serving import openai
from serving.context import AsClient, Parts
from serving.responding import STREAMED, respond
from serving.wording import Text

router = APIRouter(tags=["chat"])


@router.post("/v1/completions", responses=STREAMED)
async def complete(
    body: openai.CompletionRequest, request: Request, parts: Parts, who: AsClient
) -> Response:
    """Continue a text, without the model's chat template; logged apart from chats."""
    return await respond(body, request, parts, who, Text)
