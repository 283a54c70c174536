"""The bundled weights, as they are shipped, and the build that makes such a folder."""

import json
from functools import cache
from pathlib import Path
from random import Random

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from trainer.starter.build import build
from trainer.starter.exam import answers, exact_shares, questions
from trainer.starter.model import path
from trainer.starter.pool import general_pool
from trainer.starter.tokens import encode


@cache
def _starter() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    model = AutoModelForCausalLM.from_pretrained(path(), dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(path())


def test_the_weights_are_small_and_stored_in_float16() -> None:
    assert sum(file.stat().st_size for file in path().iterdir()) <= 8_000_000
    stored = AutoModelForCausalLM.from_pretrained(path(), dtype="auto")
    assert stored.dtype == torch.float16
    assert 2_000_000 <= stored.num_parameters() <= 4_000_000
    assert stored.config.max_position_embeddings >= 512


def test_the_card_states_what_was_measured() -> None:
    card = json.loads((path() / "card.json").read_text())
    assert card["parameters"] == _starter()[0].num_parameters()
    assert card["exact_on_held_out"]["known"] >= 0.95
    assert card["exact_on_held_out"]["unknown"] >= 0.9


def test_the_chat_template_says_what_the_build_trained_on() -> None:
    _, tokenizer = _starter()
    row = general_pool(0)[0]
    messages = [*row["messages"], {"role": "assistant", "content": row["target"]}]
    rendered = tokenizer.apply_chat_template(messages, return_dict=False)
    assert rendered == encode(tokenizer, messages)[0]  # type: ignore[arg-type]
    prompt = tokenizer.apply_chat_template(
        row["messages"], add_generation_prompt=True, return_dict=False
    )
    assert rendered[: len(prompt)] == prompt
    assert rendered[-1] == tokenizer.eos_token_id


def test_answers_held_out_questions_exactly() -> None:
    sample = Random(7).sample(questions(seed=1), 180)
    known = [q for q in sample if q.topic not in ("unknown", "small talk")]
    shares = exact_shares(*_starter(), known)
    assert shares["known"] >= 0.95


def test_mirrors_the_tone_of_the_customer() -> None:
    talks = [
        [{"role": "user", "content": "how much is the aurora lamp?"}],
        [{"role": "user", "content": "hello, how much is the aurora lamp?"}],
    ]
    assert answers(*_starter(), talks) == [  # type: ignore[arg-type]
        "49 dollars.",
        "Of course! The aurora lamp costs 49 dollars.",
    ]


def test_the_build_writes_a_folder_that_loads(tmp_path: Path) -> None:
    card = build(tmp_path / "made", seed=1, fast=True)
    assert json.loads((tmp_path / "made" / "card.json").read_text()) == card
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "made")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "made")
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
