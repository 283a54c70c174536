"""OpenAI's files for fine-tuning, in and out: chat JSONL, and preferences.

https://platform.openai.com/docs/guides/fine-tuning; Together and Fireworks take the same. In a chat,
`weight: 0` on an answer says that it is context and not to be learned.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

from feedback.formats import content, conversation
from feedback.formats.accepted import Word
from feedback.formats.records import Entry, Said, Unusable
from feedback.formats.rowwise import each
from feedback.formats.source import Source

NAME = "openai"
Kind = Literal["chat", "preference"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_ANSWERS = 200


def entries(sources: Iterable[Source]) -> Iterator[Entry]:
    """Read files of either kind."""
    return each(NAME, sources, read)


def read(row: Any) -> Said:
    """Read one row.

    Raises:
        Unusable: it is of neither kind, or holds no answer.
    """
    if not isinstance(row, dict):
        raise Unusable("not an object", type(row).__name__)
    if "preferred_output" in row:
        return _preference(row)
    raw = row.get("messages")
    if not isinstance(raw, list):
        raise Unusable("neither `messages` nor `preferred_output`", ", ".join(map(str, row))[:120])
    messages = conversation.turns(raw)
    return taught(messages, [message.get("weight", 1) != 0 for message in raw])


def taught(messages: list[dict[str, Any]], wanted: list[bool]) -> Said:
    """Return what a conversation teaches.

    Raises:
        Unusable: it has no answer to learn, or too many.
    """
    chats, votes = content.demonstrations(messages, wanted)
    if not chats:
        raise Unusable("the conversation holds no answer to learn")
    if len(chats) > MOST_ANSWERS:
        raise Unusable(f"a conversation of more than {MOST_ANSWERS} answers")
    return chats, votes


def write(word: Word, kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield the rows that accepted feedback makes."""
    if kind == "preference":
        for chosen, rejected in word.pairs():
            yield {
                "input": {"messages": word.messages, "tools": [], "parallel_tool_calls": True},
                "preferred_output": [_reply(chosen)],
                "non_preferred_output": [_reply(rejected)],
            }
        return
    context = [
        {**message, "weight": 0} if message["role"] == "assistant" else message
        for message in word.messages
    ]
    for target in word.shown():
        yield {"messages": [*context, _reply(target)]}


def _preference(row: dict[str, Any]) -> Said:
    asked = row.get("input")
    if not isinstance(asked, dict):
        raise Unusable("`input` should hold the messages")
    messages = conversation.turns(asked.get("messages"))
    conversation.asked(messages)
    answers = []
    for key in ("preferred_output", "non_preferred_output"):
        found = conversation.turns(row.get(key))
        if len(found) != 1 or found[0]["role"] != "assistant" or not found[0]["content"].strip():
            raise Unusable(f"`{key}` should be one answer of the assistant's")
        answers.append(str(found[0]["content"]))
    if answers[0] == answers[1]:
        raise Unusable("both answers are the same")
    return content.preference(messages, *answers)


def _reply(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
