"""Asking a sign-in provider something, and what it means when it does not answer. Knows no flow."""

from typing import Any

import httpx

from feedback.errors import Unauthorized, Unavailable

AGAIN = "Sign in once more."
TIMEOUT_SECONDS = 10.0
_SHOWN_CHARACTERS = 200


def asking() -> httpx.AsyncClient:
    """Return what asks; it follows no redirect, since the addresses are the provider's own word."""
    return httpx.AsyncClient(timeout=TIMEOUT_SECONDS, headers={"Accept": "application/json"})


async def answered(
    http: httpx.AsyncClient, method: str, address: str, **sent: Any
) -> dict[str, Any]:
    """Return the JSON object that the provider answers with.

    Raises:
        Unauthorized: it refuses a code.
        Unavailable: it does not answer, or not with that.
    """
    try:
        place = httpx.URL(address).copy_with(query=None, fragment=None)
        answer = await http.request(method, address, **sent)
        said = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise Unavailable(
            f"The sign-in provider does not answer at {address} ({type(fault).__name__}). Try "
            "again in a while, or sign in with a password."
        ) from fault
    except ValueError as fault:
        raise Unavailable(
            f"The sign-in provider answered without JSON at {place} ({answer.status_code})."
        ) from fault
    if not isinstance(said, dict):
        raise Unavailable(f"The sign-in provider answered with something else at {place}.")
    if said.get("error") == "invalid_grant":
        raise Unauthorized(f"The provider does not take this code, or not any more. {AGAIN}")
    if answer.status_code != 200:
        told = str(said.get("error_description") or said.get("error") or "no reason")
        raise Unavailable(
            f"The sign-in provider answered {answer.status_code} at {place}: "
            f"{told[:_SHOWN_CHARACTERS]}. Whoever runs Heed looks at serving.oidc_client_id, "
            "serving.oidc_client_secret and the redirect address that the provider knows."
        )
    return said
