"""From what is said to the tokens that an engine is asked to go on from: checked, rendered, counted.

The same for every engine that has the base model's tokenizer. Knows nothing of how answers are made.
"""

import json
from collections.abc import Sequence
from typing import Any

from feedback.errors import Invalid
from serving.engines import chat_template, limits
from serving.engines.base import ChatMessage, Prompt


def of_chat(tokenizer: Any, messages: Sequence[ChatMessage], context_tokens: int) -> Prompt:
    """Render a conversation and count it.

    Raises:
        Invalid: the template refuses the messages, or they leave no room in the context.
    """
    limits.check_characters(messages, context_tokens)
    return _fitting(chat_template.render(tokenizer, messages), context_tokens)


def of_chat_with_tools(
    tokenizer: Any,
    messages: Sequence[ChatMessage],
    tools: Sequence[dict[str, Any]],
    context_tokens: int,
) -> Prompt:
    """Render a conversation in which the model may call tools; see `of_chat`."""
    limits.check_length(json.dumps([messages, tools]), context_tokens, param="tools")
    return _fitting(chat_template.render(tokenizer, messages, tools), context_tokens)


def of_text(tokenizer: Any, text: str, context_tokens: int) -> Prompt:
    """Tokenise a bare text that is to be continued.

    Raises:
        Invalid: it is empty, or leaves no room in the context.
    """
    limits.check_length(text, context_tokens, param="prompt")
    token_ids = tokenizer.encode(text)
    if not token_ids:
        raise Invalid("`prompt` is empty; there is nothing to continue.", param="prompt")
    return _fitting(token_ids, context_tokens, param="prompt")


def _fitting(token_ids: Sequence[int], context_tokens: int, *, param: str = "messages") -> Prompt:
    limits.check_prompt(len(token_ids), context_tokens, param=param)
    return Prompt(tuple(token_ids))
