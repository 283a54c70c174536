"""Rows without ids: what they hold is their name. Knows the shapes of no format.

Training files name neither rows nor people. The same content is the same exchange and the same vote,
whichever file and format it comes from.
"""

import hashlib
import json
from typing import Any

from feedback.formats.records import Chat, Said, Vote

Messages = list[dict[str, Any]]
BY_CONTENT = "content:"
"""What the names begin with, and so the events that they become."""


def key(*parts: Any) -> str:
    """Return a name that depends on nothing but the content."""
    canonical = json.dumps(parts, sort_keys=True)
    return BY_CONTENT + hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()[:40]


def chat(
    messages: Messages, answer: str, *, conversation: str | None = None, steps: tuple[str, ...] = ()
) -> Chat:
    """Return an answered prompt."""
    return Chat(
        key("chat", messages, answer),
        tuple(messages),
        answer,
        conversation_id=conversation,
        steps=steps,
    )


def demonstration(about: Chat) -> Vote:
    """Return the word that this answer is as it should be."""
    return Vote(
        key("demonstration", about.source_id), about.source_id, {"correction": about.answer}
    )


def verdict(about: Chat, *, liked: bool, **said: Any) -> Said:
    """Return an answer that was judged."""
    rating = {"rating": "up" if liked else "down", **said}
    return (about,), (Vote(key("verdict", about.source_id), about.source_id, rating),)


def preference(messages: Messages, chosen: str, rejected: str) -> Said:
    """Return an answer that was liked better than another."""
    better, worse = chat(messages, chosen), chat(messages, rejected)
    vote = Vote(
        key("preference", better.source_id, worse.source_id),
        better.source_id,
        {},
        preferred_over=worse.source_id,
    )
    return (better, worse), (vote,)


def demonstrations(messages: Messages, taught: list[bool]) -> Said:
    """Return every answer of a conversation that is to be learned.

    Args:
        messages: the whole conversation.
        taught: whether each of the messages is meant to be learned.
    """
    conversation = key("conversation", messages)
    chats = tuple(
        chat(messages[:index], message["content"], conversation=conversation)
        for index, (message, wanted) in enumerate(zip(messages, taught, strict=True))
        if wanted
        and message["role"] == "assistant"
        and message["content"].strip()
        and any(before["role"] in ("user", "tool") for before in messages[:index])
    )
    return chats, tuple(demonstration(each) for each in chats)
