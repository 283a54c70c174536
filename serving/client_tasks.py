"""Prompts that a chat client sends on its own account: for a title, for tags, for what to ask next.

Open WebUI sends them through the model that people chat with. Nobody asked them and nobody rates
them, so they must not teach. Its templates (backend/open_webui/config.py) begin with one heading
and quote the chat in one element; its template for answers from documents begins alike, quotes
`<context>` instead, and is a person's question. Pure.
"""

from collections.abc import Sequence

from serving.engines.base import ChatMessage

TASK = "task"
"""The origin under which such an exchange is logged."""

_BEGINS = "### Task:"
_QUOTES = ("<chat_history>", "</chat_history>")
_DOCUMENTS = "<context>"


def is_task(messages: Sequence[ChatMessage]) -> bool:
    """Whether a chat is no person's but a task of Open WebUI's own."""
    turns = [message for message in messages if message["role"] != "system"]
    if len(turns) != 1 or turns[0]["role"] != "user":
        return False
    text = turns[0]["content"].strip()
    if not text.startswith(_BEGINS):
        return False
    before, opening, rest = text.partition(_QUOTES[0])
    return bool(opening) and _QUOTES[1] in rest and _DOCUMENTS not in before
