"""The base model's tokenizer and its chat template (transformers).

Knows nothing of weights, of limits or of who is asking.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feedback.errors import Invalid
from serving.engines.base import ChatMessage
from trainer import base_folder, template

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

    As in training, system turns that the template refuses stand before the user's words.

    Raises:
        Invalid: the template refuses the messages.
    """

    def write(turns: list[dict[str, Any]]) -> list[int]:
        token_ids: list[int] = tokenizer.apply_chat_template(
            turns,
            tools=list(tools) or None,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        return token_ids

    return template.written(write, messages)


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
