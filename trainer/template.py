"""What is done where a chat template refuses a conversation: the same in training and in serving.

Some templates raise for a system turn, Gemma's among them. Its words then stand before those of the
user's next turn, as Gemma 3's own template writes them. Knows no tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from feedback.errors import Invalid

Written = TypeVar("Written")
SystemTurns = Literal["own", "folded", "dropped"]
"""Where a template writes what the system says: in a turn of its own, in the user's, nowhere."""
_SAID = "heedprobeofsystem"
Turn = Mapping[str, Any]


class Refused(Invalid):
    """The chat template does not take a conversation."""


def written(write: Callable[[list[dict[str, Any]]], Written], messages: Sequence[Turn]) -> Written:
    """Return what a template makes of a conversation, with its system turns folded where it must be.

    Args:
        write: has the template write turns.
        messages: the conversation.

    Raises:
        Refused: it takes neither; says why.
    """
    turns = [dict(turn) for turn in messages]
    try:
        return write(turns)
    except refusals() as fault:
        within = folded(turns)
        if within != turns:
            try:
                return write(within)
            except refusals():
                pass  # what it said of the conversation as it is tells more
        raise Refused(
            f"The base model's chat template refuses the messages: {fault}", param="messages"
        ) from fault


def system_turns(tokenizer: Any) -> SystemTurns:
    """Return where a tokenizer's template writes what the system says."""
    turns = [{"role": "system", "content": _SAID}, {"role": "user", "content": "Hello"}]
    try:
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    except refusals():
        return "folded"
    return "own" if _SAID in text else "dropped"


def refusals() -> tuple[type[Exception], ...]:
    """What templates raise: they may do anything with a turn, a schema or a call's arguments."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, KeyError, ValueError, AttributeError)


def folded(messages: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the turns with each system turn before the words of the next turn of the user's."""
    turns: list[dict[str, Any]] = []
    waiting: list[str] = []
    for turn in messages:
        if turn["role"] == "system":
            waiting.append(turn["content"])
        elif turn["role"] == "user":
            turns.append({**turn, "content": "\n\n".join([*waiting, turn["content"]])})
            waiting = []
        else:
            turns.append(dict(turn))
    if waiting:
        turns.append({"role": "user", "content": "\n\n".join(waiting)})
    return turns
