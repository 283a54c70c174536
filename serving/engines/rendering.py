"""Conversations to token ids, with the base model's own tokenizer and chat template (transformers).

For engines whose model computes elsewhere: the prompt is rendered and counted here, so that what is
too long is refused before anything is sent. Knows nothing of HTTP, of adapters or of who is asking.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feedback.errors import Invalid
from serving.engines.base import ChatMessage


class Renderer:
    """Loads the tokenizer of a base model's folder; takes about a second.

    Raises:
        Invalid: the folder has no tokenizer, or no chat template.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise Invalid(
                f"The base model in {folder} has no tokenizer that can be loaded: {error}",
                param="base_model",
            ) from error
        if not self._tokenizer.chat_template:
            raise Invalid(
                f"The base model in {folder} has no chat template, so it cannot chat. Choose a "
                "model tuned for chat, or add chat_template.jinja to the folder.",
                param="base_model",
            )

    def conversation(self, messages: Sequence[ChatMessage]) -> tuple[int, ...]:
        """Token ids of a conversation, up to where the assistant begins to speak.

        Raises:
            Invalid: the template refuses the messages.
        """
        from jinja2 import TemplateError

        try:
            token_ids = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
            )
        except TemplateError as error:
            raise Invalid(
                f"This model's chat template refuses the messages: {error}", param="messages"
            ) from error
        return tuple(token_ids)

    def prompt(self, text: str) -> tuple[int, ...]:
        """Token ids of a text to go on from, with what the model always begins with."""
        return tuple(self._tokenizer.encode(text))

    def text(self, text: str) -> list[int]:
        """Token ids of a bare text, without anything the model adds around one."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))
