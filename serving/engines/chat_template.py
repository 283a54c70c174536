"""The base model's tokenizer and its chat template (transformers).

Knows nothing of weights, of limits or of who is asking.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feedback.errors import Invalid
from serving.engines.base import ChatMessage
from trainer import base_folder

_PROBE = "heed_probe_of_tools"


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a base model's folder.

    Raises:
        Invalid: there is none, or it has no chat template.
    """
    from transformers import AutoTokenizer

    with base_folder.reading(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise Invalid(
            f"The base model in {folder} has no chat template, so it cannot chat. Choose a model "
            "tuned for chat, or add chat_template.jinja to the folder.",
            param="base_model",
        )
    return tokenizer


def render(
    tokenizer: Any,
    messages: Sequence[ChatMessage],
    tools: Sequence[dict[str, Any]] = (),
) -> list[int]:
    """Return a conversation's token ids, up to where the assistant begins to speak.

    Raises:
        Invalid: the template refuses the messages.
    """
    from jinja2 import TemplateError

    try:
        token_ids: list[int] = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=list(tools) or None,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
    # A template may do anything with a tool's schema or a call's arguments.
    except (TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise Invalid(
            f"This model's chat template refuses the messages: {error}", param="messages"
        ) from error
    return token_ids


def takes_tools(tokenizer: Any) -> bool:
    """Whether the template tells the model of tools: one is offered, and looked for."""
    probe = {
        "type": "function",
        "function": {
            "name": _PROBE,
            "description": "Looks.",
            "parameters": {"type": "object", "properties": {}},
        },
    }
    try:
        token_ids = render(tokenizer, [{"role": "user", "content": "Hello"}], [probe])
    except Invalid:
        return False
    return _PROBE in tokenizer.decode(token_ids)
