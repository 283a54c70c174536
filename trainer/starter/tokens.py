"""The starter's tokenizer: byte-level BPE over the shop's words, with a chat template.

It knows nothing of the model that reads the tokens.
"""

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from trainer.starter.pool import Message

IGNORED = -100  # The label that torch's cross-entropy leaves out.
_PAD, _END = "<|pad|>", "<|end|>"
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
# The generation mark tells trainers which tokens are the assistant's own.
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, context_tokens: int
) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are mostly whole words of ``texts``.

    Args:
        texts: What it will have to read and write.
        vocabulary_size: Tokens in all, the 256 bytes and five special ones included.
        context_tokens: The longest sequence that its model reads.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = [AddedToken(text, special=True) for text in (_PAD, _END, *_ROLES)]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_END,
        additional_special_tokens=list(_ROLES),
        chat_template=_CHAT_TEMPLATE,
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
    )


def encode(
    tokenizer: PreTrainedTokenizerFast, messages: Sequence[Message]
) -> tuple[list[int], list[int]]:
    """Token ids of a conversation, and the labels: ids where the assistant speaks."""
    ids: list[int] = []
    labels: list[int] = []
    for message in messages:
        role = tokenizer.convert_tokens_to_ids(f"<|{message['role']}|>")
        said = tokenizer.encode(message["content"] + _END, add_special_tokens=False)
        ids += [role, *said]
        learned = message["role"] == "assistant"
        labels += [IGNORED, *(said if learned else [IGNORED] * len(said))]
    return ids, labels
