"""How long prompts and answers may be, and how that is said. The same words for every engine.

Knows nothing of torch, tokenizers or threads.
"""

from collections.abc import Sequence

from feedback.errors import Invalid
from serving.engines.base import ChatMessage, Prompt, Sampling

MAX_CHARACTERS_PER_TOKEN = 32
"""Beyond this many characters per token of context, no tokenizer brings a text into it."""

_UNKNOWN_CONTEXT_TOKENS = 2048


def context_tokens(*known: int | None) -> int:
    """The least of what model and tokenizer were made for, where they say so."""
    # A tokenizer that does not know says 10³⁰.
    return min((n for n in known if n and n < 10**9), default=_UNKNOWN_CONTEXT_TOKENS)


def check_characters(messages: Sequence[ChatMessage], context_tokens: int) -> None:
    """Refuse what is absurdly long before anything is spent on tokenising it.

    Raises:
        Invalid: the messages hold more characters than could ever fit.
    """
    characters = sum(len(message["content"]) for message in messages)
    if characters > context_tokens * MAX_CHARACTERS_PER_TOKEN:
        raise Invalid(
            f"The messages hold {characters:,} characters; this model's context is "
            f"{context_tokens:,} tokens. Shorten them or drop earlier turns.",
            param="messages",
        )


def check_length(text: str, context_tokens: int, *, param: str) -> None:
    """As `check_characters`, for a single text.

    Raises:
        Invalid: it holds more characters than could ever fit.
    """
    if len(text) > context_tokens * MAX_CHARACTERS_PER_TOKEN:
        raise Invalid(
            f"`{param}` holds {len(text):,} characters; this model's context is "
            f"{context_tokens:,} tokens. Shorten it.",
            param=param,
        )


def check_prompt(prompt_tokens: int, context_tokens: int, *, param: str = "messages") -> None:
    """Refuse a prompt that leaves no room for an answer.

    Raises:
        Invalid: the prompt fills the context or exceeds it; says both numbers.
    """
    if prompt_tokens >= context_tokens:
        raise Invalid(
            f"The {param} come to {prompt_tokens:,} tokens; this model's context is "
            f"{context_tokens:,}, answer included. Shorten them or drop earlier turns."
            if param == "messages"
            else f"`{param}` comes to {prompt_tokens:,} tokens; this model's context is "
            f"{context_tokens:,}, answer included. Shorten it.",
            param=param,
        )


def answer_tokens(prompt: Prompt, sampling: Sampling, context_tokens: int) -> int:
    """How many tokens this answer may have: what was asked for, else what is left.

    Raises:
        Invalid: more was asked for than the context has left, or less than one token.
    """
    check_prompt(len(prompt.token_ids), context_tokens)
    room = context_tokens - len(prompt.token_ids)
    if sampling.max_tokens is None:
        return room
    if sampling.max_tokens < 1:
        raise Invalid(
            f"max_tokens is {sampling.max_tokens}; ask for at least one token.", param="max_tokens"
        )
    if sampling.max_tokens > room:
        raise Invalid(
            f"max_tokens is {sampling.max_tokens:,}, but the prompt's {len(prompt.token_ids):,} "
            f"tokens leave room for {room:,} in a context of {context_tokens:,}. Ask for at most "
            f"{room:,}, or leave max_tokens out.",
            param="max_tokens",
        )
    return sampling.max_tokens
