"""A random tiny Llama with a chat template, and random adapters for it.

Random weights know nothing, and that is enough: what an engine must keep is who computes what.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from tests import random_llama
from tests.random_llama import TEMPLATE

CONTEXT_TOKENS = 256
CALLING_TEMPLATE = (
    "{% if tools %}<|system|>{% for tool in tools %}{{ tool['function'] | tojson }}{% endfor %}"
    "<|end|>{% endif %}{% for message in messages %}"
    "<|{{ 'user' if message['role'] == 'tool' else message['role'] }}|>{{ message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}{{ '\n' }}<tool_call>\n"
    '{"name": "{{ call["function"]["name"] }}", "arguments": '
    "{{ call['function']['arguments'] | tojson }}}\n</tool_call>{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""Calls as Hermes and Qwen models write them."""
_SENTENCES = [
    "The shop opens at nine and closes at six.",
    "Parcels arrive within three days; returns are free for a month.",
    "A teapot costs twelve, a kettle thirty, and tea is cheaper by the box.",
    "Größe, Crème brûlée, naïve café, 東京, 😀 and 🫖 are words too.",
]


def build_base(
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    context_tokens: int = CONTEXT_TOKENS,
    words: int | None = None,
    template: str = TEMPLATE,
    added: Sequence[str] = (),
) -> Path:
    """Write a random Llama with grouped keys, its tokenizer and chat template.

    Args:
        added: more tokens, of which a text shows everything.
        words: rows of the embedding; by default as many as the tokenizer has tokens.
    """
    return random_llama.build(
        folder,
        _SENTENCES,
        tokens=360,
        special=("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
        hidden=hidden,
        layers=layers,
        context_tokens=context_tokens,
        spread=1.6 / hidden**0.5,
        template=template,
        added=added,
        words=words,
    )


def build_adapter(base: Path, folder: Path, seed: int, rank: int = 4) -> Path:
    """Write a PEFT folder whose weights are random, B included, so that it changes answers."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    with _quiet():
        get_peft_model(model, config).save_pretrained(folder)
    return folder


def alone(base: Path, adapter: Path | None, prompt: tuple[int, ...], tokens: int) -> list[int]:
    """What transformers and PEFT answer when nobody else is there: greedy, the end token included."""
    model = _reference(base, adapter)
    ids = torch.tensor([prompt])
    with torch.inference_mode():
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=tokens,
            do_sample=False,
        )
    return [int(token) for token in made[0, len(prompt) :]]


def rewrite_config(folder: Path, **changes: object) -> None:
    """Change entries of an adapter's config in place."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@cache
def _reference(base: Path, adapter: Path | None) -> Any:
    torch.set_num_threads(1)  # per thread: the two cores are shared with the engine's
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if adapter is None:
        return model
    with _quiet():
        return PeftModel.from_pretrained(model, adapter).eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """PEFT still reads a property that transformers has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
