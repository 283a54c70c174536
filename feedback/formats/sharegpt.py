"""ShareGPT's conversations, in and out: `{"conversations": [{"from": "human", "value": …}, …]}`."""

from collections.abc import Iterable, Iterator
from typing import Any

from feedback.formats import conversation, openai
from feedback.formats.accepted import Word
from feedback.formats.records import Entry, Said, Unusable
from feedback.formats.rowwise import each
from feedback.formats.source import Source

NAME = "sharegpt"
_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}


def entries(sources: Iterable[Source]) -> Iterator[Entry]:
    """Read conversations: every answer in one is a demonstration."""
    return each(NAME, sources, read)


def read(row: Any) -> Said:
    """Read one conversation.

    Raises:
        Unusable: it holds no answer.
    """
    if not isinstance(row, dict):
        raise Unusable("not an object", type(row).__name__)
    said = row.get("conversations", row.get("conversation"))
    if not isinstance(said, list):
        raise Unusable("`conversations` should be a list of messages")
    messages = conversation.turns(said)
    if isinstance(row.get("system"), str) and row["system"] and messages[:1] != []:
        messages.insert(0, {"role": "system", "content": row["system"]})
    return openai.taught(messages, [True] * len(messages))


def write(word: Word) -> Iterator[dict[str, Any]]:
    """Yield the conversations that accepted feedback makes."""
    before = [{"from": _FROM[turn["role"]], "value": turn["content"]} for turn in word.messages]
    for target in word.shown():
        yield {"conversations": [*before, {"from": "gpt", "value": target}]}
