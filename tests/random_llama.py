"""A random Llama of the smallest size, with its tokenizer and chat template (torch).

Random weights know nothing. They can still learn a sentence, and show who computes what.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build(
    folder: Path,
    sentences: Sequence[str],
    *,
    tokens: int,
    special: Sequence[str],
    hidden: int,
    layers: int,
    context_tokens: int,
    spread: float,
    template: str = TEMPLATE,
    added: Sequence[str] = (),
    words: int | None = None,
) -> Path:
    """Write a random Llama with grouped keys, a byte-level BPE tokenizer and a chat template.

    Args:
        folder: where; also returned.
        sentences: what the tokenizer is trained on.
        tokens: of the tokenizer, at most, the special ones included.
        special: no text shows them; ``<|pad|>`` and ``<|end|>`` are among them.
        hidden: width.
        layers: how many.
        context_tokens: the longest sequence.
        spread: standard deviation of the weights.
        template: of a conversation.
        added: more tokens, of which a text shows everything.
        words: rows of the embedding; by default as many as the tokenizer has tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>"
    )
    wrapped.chat_template = template
    wrapped.add_tokens(list(added))
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words or len(wrapped),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context_tokens,
        initializer_range=spread,
        bos_token_id=None,
        eos_token_id=wrapped.eos_token_id,
        pad_token_id=wrapped.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
