"""Builds the bundled starter model: ``python -m trainer.starter.build --out FOLDER`` (torch).

It tells the story top to bottom; what is learned, how and how it is examined lies in its siblings.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

# Read when torch loads: on busy cores, spinning threads cost sixteenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trainer.starter.corpus import conversations, familiar
from trainer.starter.exam import exact_shares, questions
from trainer.starter.pretraining import Recipe, Row, new_model, pretrain
from trainer.starter.tokens import encode, train_tokenizer

RECIPE = Recipe()
# Learns nothing much; it shows that every step of the build works.
FAST = replace(
    RECIPE,
    hidden_size=64,
    feed_forward_size=128,
    layers=1,
    conversations=400,
    steps=4,
)
# Smaller, and taught for a tenth of the time: it knows little of the shop and cuts its words small,
# so that there is something to choose from where no hub can be reached.
SECOND = replace(
    RECIPE,
    vocabulary_size=600,
    hidden_size=128,
    feed_forward_size=384,
    layers=2,
    conversations=20_000,
    steps=400,
)
_FAST_QUESTIONS = 40
_ANSWER_TOKENS = 64
_TOKENIZER_CONVERSATIONS = 20_000


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the starter model that Heed bundles.")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and tokenizer")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same model")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--fast", action="store_true", help="a useless model in a few seconds")
    size.add_argument(
        "--second", action="store_true", help="a worse-fitted model, to compare with the starter"
    )
    chosen = parser.parse_args(arguments)
    build(chosen.out, seed=chosen.seed, fast=chosen.fast, second=chosen.second)


def build(
    out: Path, *, seed: int = 0, fast: bool = False, second: bool = False
) -> dict[str, object]:
    """Make tokenizer and model, train, examine, and write everything to a folder.

    Args:
        out: The folder; made if it is missing.
        seed: Decides corpus, weights and order.
        fast: Build a tiny, useless model in a few seconds.
        second: Build the worse-fitted model that the starter can be compared with.

    Returns:
        The card: measured figures, as written to ``card.json``.
    """
    console = Console()
    recipe = FAST if fast else SECOND if second else RECIPE
    began = time.monotonic()
    tokenizer, rows = _corpus(recipe, seed)
    torch.manual_seed(seed)
    model = new_model(recipe, tokenizer.pad_token_id, tokenizer.eos_token_id)
    with _progress(console) as progress:
        task = progress.add_task("training", total=recipe.steps, loss=float("nan"))
        pretrain(
            model, rows, recipe, seed, lambda loss: progress.update(task, advance=1, loss=loss)
        )
    train_seconds = time.monotonic() - began
    # Examined is what will be shipped: the weights as float16 holds them.
    model.half().float()
    asked = questions(seed)[:: 60 if fast else 1][: _FAST_QUESTIONS if fast else None]
    card: dict[str, object] = {
        "parameters": model.num_parameters(),
        "seed": seed,
        "build_seconds": round(train_seconds, 1),
        "exact_on_held_out": exact_shares(model, tokenizer, asked),
        "questions": len(asked),
        "recipe": asdict(recipe),
    }
    _save(out, model, tokenizer, card)
    console.print_json(data=card)
    return card


def _corpus(recipe: Recipe, seed: int) -> tuple[PreTrainedTokenizerFast, list[Row]]:
    corpus = list(itertools.islice(conversations(seed), recipe.conversations))
    texts = (text for talk in corpus[:_TOKENIZER_CONVERSATIONS] for text in familiar(talk))
    tokenizer = train_tokenizer(texts, recipe.vocabulary_size, recipe.context_tokens)
    return tokenizer, [encode(tokenizer, talk) for talk in corpus]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _save(
    out: Path,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    card: dict[str, object],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=_ANSWER_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
