"""A tokenizer's vocabulary as llguidance reads it: which bytes each token stands for.

Knows nothing of torch, of grammars or of answers.
"""

import json
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from feedback.errors import Invalid

if TYPE_CHECKING:
    from llguidance import LLTokenizer

_TAG = re.compile(r"<[!-~]+>")
"""Of characters that vocabularies of bytes spell as themselves."""


def read(tokenizer: Any, end_tokens: Collection[int], *, param: str) -> "LLTokenizer":
    """Return the vocabulary of a tokenizer of transformers.

    Args:
        end_tokens: tokens that end an answer.
        param: the field that asks for an answer of some form.

    Raises:
        Invalid: the library cannot read it; says why.
    """
    from llguidance import LLTokenizer
    from tokenizers import Tokenizer

    known = set(tokenizer.get_vocab().values())
    ends = sorted(known.intersection(end_tokens))
    try:
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        # On this copy: the engine's own tokenizer is in use.
        backend.no_truncation()
        backend.no_padding()
        text = _with_tags_as_text(backend.to_str())
        return LLTokenizer(text, eos_token=ends, slices=LLTokenizer.json_slices())
    except (AttributeError, ValueError) as error:
        raise Invalid(
            f"`{param}` cannot be honoured with this base model's tokenizer: {error}. "
            "Leave it out, or serve a base model with a byte-level tokenizer and an end token.",
            param=param,
        ) from error


def _with_tags_as_text(tokenizer: str) -> str:
    """A tokenizer (JSON) whose tags that are shown, `<tool_call>` or `<think>`, are words of it.

    The library takes every added token in angle brackets for a special one, which is no text. Some
    are: models write them as tokens of their own, and whoever reads sees them.
    """
    document = json.loads(tokenizer)
    if document["model"]["type"] != "BPE":
        return tokenizer
    words, others = document["model"]["vocab"], []
    for added in document["added_tokens"]:
        if _TAG.fullmatch(added["content"]) and not added["special"]:
            words[added["content"]] = added["id"]
        else:
            others.append(added)
    return json.dumps(document | {"added_tokens": others})
