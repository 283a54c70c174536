"""``/console/sign-in/oidc``: to the sign-in provider, and back from it. Knows no SQL and no token.

What the browser keeps in between is a signed cookie for this one purpose. It is `Lax`, not `Strict`:
the provider's page is another site, and a browser that comes from there has to bring it.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from feedback.errors import HeedError, NotFound
from serving import oidc_people
from serving.context import Heed, Parts
from serving.oidc import CALLBACK, PENDING_SECONDS, Provider
from serving.routes import sign_in

router = APIRouter(include_in_schema=False)

COOKIE = "heed_oidc"
_COOKIE_PATH = "/console/sign-in"


@router.get("/console/sign-in/oidc")
async def begin(
    parts: Parts, request: Request, to: Annotated[str, Query(max_length=500)] = sign_in.HOME
) -> Response:
    """Lead the browser to the provider."""
    provider = _provider(parts)
    to = sign_in.within(to)
    try:
        address, note = await provider.begin(to)
    except HeedError as fault:
        return sign_in.shown(request, parts, to, fault=fault)
    answer = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
    answer.set_cookie(
        COOKIE,
        note,
        max_age=PENDING_SECONDS,
        path=_COOKIE_PATH,
        httponly=True,
        samesite="lax",
        secure=_is_secure(provider),
    )
    return answer


@router.get(CALLBACK)
async def come_back(parts: Parts, request: Request) -> Response:
    """Begin a session of whoever the provider says this is, and lead to the page that was wanted."""
    provider, to = _provider(parts), sign_in.HOME
    said = request.query_params
    try:
        pending = provider.pending(request.cookies.get(COOKIE, ""), said.get("state", ""))
        to = sign_in.within(pending.to)
        token = await asyncio.to_thread(
            oidc_people.sign_in,
            parts.store,
            parts.settings.serving,
            await provider.finish(pending, said),
            address=request.client.host if request.client else "unknown",
        )
    except HeedError as fault:
        answer = sign_in.shown(request, parts, to, fault=fault)
    else:
        answer = RedirectResponse(to, 303, {"Cache-Control": "no-store"})
        sign_in.keep(answer, token, secure=_is_secure(provider))
    parts.sessions.forget()
    answer.delete_cookie(COOKIE, path=_COOKIE_PATH)
    return answer


def _provider(parts: Heed) -> Provider:
    if parts.oidc is None:
        raise NotFound("Nobody signs in here by a provider; see serving.oidc_issuer.")
    return parts.oidc


def _is_secure(provider: Provider) -> bool:
    """Whether the browser speaks TLS: nothing but the public address says so on this way."""
    return str(provider.settings.public_url).startswith("https://")
