"""What the serving benchmarks run on: a base model that never ends an answer, and adapters for it.

Without end tokens every answer has the length that was asked for, so that both sides of a comparison
do the same work. Knows nothing of engines or servers.
"""

import argparse
import json
import os
import random
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read when torch loads: threads that spin while they wait starve whatever shares the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from trainer import base_folder

RANK = 32
_RANDOM = "random:"
_HIDDEN, _WORDS, _CONTEXT_TOKENS = 768, 16_384, 1024
_SMALL_HIDDEN, _SMALL_WORDS = 192, 1536
"""Below 20 million parameters: the starter's own width."""


@dataclass(frozen=True)
class Base:
    """A base model in a folder, without end tokens."""

    folder: Path
    name: str
    parameters: int


def add_arguments(parser: argparse.ArgumentParser, *, repeat: int) -> None:
    """What all serving benchmarks are asked alike."""
    parser.add_argument(
        "--base", default=base_folder.STARTER, help="starter, FOLDER, or random:100M"
    )
    half = max(1, base_folder.threads(None) // 2)
    parser.add_argument(
        "--threads", type=int, default=half, help="of each engine; by default half of the cores"
    )
    parser.add_argument("--repeat", type=int, default=repeat, help="alternations; medians are kept")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def add_chats(parser: argparse.ArgumentParser) -> None:
    """How many chats, and how long; for the benchmarks that answer some at once."""
    parser.add_argument("--tokens", type=int, default=48, help="length of every answer")
    parser.add_argument("--chats", type=int, default=16, help="at once")


def head(base: Base, asked: argparse.Namespace) -> dict[str, Any]:
    """What every document begins with: on what, and how, it was measured."""
    kept = ("threads", "chats", "clients", "tokens", "repeat")
    settings = {name: getattr(asked, name) for name in kept if hasattr(asked, name)}
    return {"base": base.name, "parameters": base.parameters, **settings}


def headline(found: dict[str, Any]) -> str:
    """The same for people, where chats were answered."""
    return (
        f"{found['base']}, {found['parameters'] / 1e6:.1f}M parameters; {found['threads']} thread(s) "
        f"each; {found['chats']} chats of {found['tokens']} tokens; median of {found['repeat']} "
        "(lowest–highest)"
    )


def prepare(wanted: str, scratch: Path) -> Base:
    """Return a base model: a copy of a folder without its end tokens, or a random Llama.

    Args:
        wanted: ``starter``, a folder, or ``random:100M`` for at least so many parameters.
        scratch: an empty folder for it.
    """
    from transformers import AutoModelForCausalLM

    folder = scratch / "base"
    if wanted.startswith(_RANDOM):
        _build(folder, int(float(wanted.removeprefix(_RANDOM).upper().rstrip("M")) * 1e6))
    else:
        shutil.copytree(base_folder.resolve(wanted), folder)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        if (folder / name).exists():
            _without_end(folder / name)
    model = AutoModelForCausalLM.from_pretrained(folder)
    return Base(folder, wanted, sum(weight.numel() for weight in model.parameters()))


def build_adapters(base: Base, scratch: Path, count: int) -> list[Path]:
    """Write PEFT folders whose weights are random, B included, so that they change answers."""
    from tests.serving.engines import tiny

    return [
        tiny.build_adapter(base.folder, scratch / f"adapter{seed}", seed, rank=RANK)
        for seed in range(1, count + 1)
    ]


def sayings(count: int, *, first: int = 0) -> list[str]:
    """What people say: distinct, of three lengths."""
    numbers = range(first, first + count)
    return [f"Tell me about number {n}, please. " * (1 + n % 3) for n in numbers]


Ratios = Mapping[str, tuple[str, str, float | None, float | None]]
"""Name → numerator, denominator, and two targets or none."""


def summary(rates: Sequence[dict[str, float]], ratios: Ratios) -> dict[str, Any]:
    """The speed of every way, and the ratios, which are taken within a repeat."""
    return {
        "tokens_per_second": {
            way: median([each[way] for each in rates]) for way in sorted(rates[0])
        },
        "ratio": {
            name: median([each[over] / each[under] for each in rates])
            for name, (over, under, _, _) in ratios.items()
        },
    }


def median(values: Sequence[float]) -> dict[str, float]:
    """The middle of several repeats, with the ends beside it."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(values: dict[str, float]) -> str:
    """The same for people."""
    return f"{values['median']:.2f}  ({values['min']:.2f}–{values['max']:.2f})"


def _build(folder: Path, parameters: int) -> None:
    """A random Llama with grouped keys and the tests' byte-level tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.serving.engines import tiny

    tiny.build_base(folder)  # for its tokenizer; the model in it is replaced
    small = parameters < 20_000_000
    hidden, words = (_SMALL_HIDDEN, _SMALL_WORDS) if small else (_HIDDEN, _WORDS)
    inner, heads = hidden * 8 // 3, hidden // 64
    groups = heads // 3
    layer = 2 * hidden * hidden + 2 * hidden * groups * 64 + 3 * hidden * inner + 2 * hidden
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=words,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=max(1, -(-(parameters - 2 * words * hidden) // layer)),
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=_CONTEXT_TOKENS,
        initializer_range=1.6 / hidden**0.5,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def _without_end(file: Path) -> None:
    content: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in content.items() if not k.startswith("eos_token")}))


def shuffled(ways: Sequence[str], repeat: int) -> list[str]:
    """The order of one repeat: another one each time, the same in every run."""
    return random.Random(repeat).sample(list(ways), len(ways))
