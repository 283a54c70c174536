"""One question to an OpenAI-compatible chat API. Knows nothing of what is asked, or what for."""

from typing import Any

import httpx


class Unanswered(Exception):
    """The API gave no answer; says what happened, as the end of a sentence about it."""


def content(client: httpx.Client, url: str, body: dict[str, Any]) -> Any:
    """Ask, and return what the first choice says: a text, if it answers as such APIs do.

    Args:
        client: with its time limit and headers.
        url: of the API, such as http://127.0.0.1:8000/v1.
        body: of a chat completion.

    Raises:
        Unanswered: it cannot be reached, or refused.
        ValueError, LookupError, TypeError: the answer has another shape.
    """
    try:
        reply = client.post(f"{url}/chat/completions", json=body)
        reply.raise_for_status()
    except httpx.HTTPStatusError as fault:
        raise Unanswered(f"answered {fault.response.status_code}") from fault
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise Unanswered(f"could not be asked ({type(fault).__name__})") from fault
    return reply.json()["choices"][0]["message"]["content"]
