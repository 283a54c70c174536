"""What the training benchmarks learn from: random models of two sizes, and rows of chat length.

The models are Llamas whose head is as large beside their layers as in small published ones. Text is
made of words that nobody says: speed is measured, and nothing is there to be understood. Pure and
seeded but for `build`, which needs torch.
"""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainer.examples import Example, Kind, Message

VOCABULARY = 16_384
CONTEXT_TOKENS = 1024
SHARES: dict[Kind, float] = {"demonstration": 0.6, "preference": 0.2, "verdict": 0.2}
ASKED_WORDS, ANSWERED_WORDS, SPREAD = 36, 22, 0.7
"""Median lengths, and the deviation of their logarithms: with the template some 90 tokens a row."""
_MOST_WORDS = 300
_WORDS = 20_000
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Size:
    """A Llama's measures."""

    hidden: int
    layers: int
    inner: int


SIZES = {
    "10M": Size(256, 6, 1024),
    "22M": Size(320, 10, 1280),
    "1M": Size(64, 1, 128),  # to see that everything runs
    "160M": Size(768, 20, 2048),  # where there is a GPU
}


def rows(count: int, *, seed: int = 0) -> list[Example]:
    """Conversations of one question, in the shares above, of lognormal lengths."""
    rng = random.Random(f"rows {seed}")
    found: list[Example] = []
    for kind, share in SHARES.items():
        for number in range(round(count * share)):
            asked = (Message(role="user", content=_text(rng, ASKED_WORDS)),)
            answer = _text(rng, ANSWERED_WORDS)
            other = _text(rng, ANSWERED_WORDS) if kind == "preference" else None
            liked = number % 2 == 0 if kind == "verdict" else None
            found.append(Example(kind, asked, answer, rejected=other, liked=liked))
    return found


def build(size: Size, folder: Path) -> None:
    """Write a random model and its tokenizer to a folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    heads = size.hidden // 64
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def of_kind(examples: Sequence[Example], kind: Kind) -> list[Example]:
    """Those of one objective."""
    return [example for example in examples if example.kind == kind]


def for_trl(example: Example) -> dict[str, Any]:
    """A row in the shape that TRL's trainers take."""
    said = [{"role": "assistant", "content": example.target}]
    row: dict[str, Any] = {"prompt": [dict(message) for message in example.messages]}
    if example.kind == "demonstration":
        return {**row, "completion": said}
    if example.kind == "verdict":
        return {**row, "completion": said, "label": bool(example.liked)}
    rejected = [{"role": "assistant", "content": example.rejected or ""}]
    return {**row, "chosen": said, "rejected": rejected}


def write_lines(path: Path, found: Sequence[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(f"{json.dumps(each)}\n" for each in found), encoding="utf-8")


def _text(rng: random.Random, median_words: int) -> str:
    count = min(_MOST_WORDS, max(2, round(rng.lognormvariate(math.log(median_words), SPREAD))))
    words, weights = _words()
    return " ".join(rng.choices(words, cum_weights=weights, k=count)) + "."


@cache
def _words() -> tuple[list[str], list[float]]:
    """Words of two to four syllables, and how often the first so many of them are said (Zipf)."""
    rng = random.Random("words")
    syllables = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "r", "s")]
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        found["".join(rng.choices(syllables, k=rng.randint(2, 4)))] = None
    weights, total = [], 0.0
    for rank in range(1, _WORDS + 1):
        total += 1 / (rank + 2.7)
        weights.append(total)
    return list(found), weights


def _tokenizer() -> Any:
    """A byte-level BPE of the full vocabulary that reads these words in one or two pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        (" " + " ".join(_words()[0][:last]) for last in (_WORDS, _WORDS // 2, _WORDS // 8)),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
