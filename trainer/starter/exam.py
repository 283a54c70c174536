"""How well a starter knows its world: shares of exact answers, by topic (torch).

It knows nothing of training. Every question is held out from it.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import torch
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from trainer.starter.corpus import Turn, as_messages, earlier_turns
from trainer.starter.pool import Message
from trainer.starter.world import (
    Register,
    shop,
    small_talk,
    unknown_answer,
    unknown_questions,
)

_ANSWER_TOKENS = 24
_ROWS_AT_ONCE = 64


class Question(NamedTuple):
    """One examined question: what is said, what must come back, and what it is counted under."""

    topic: str
    messages: list[Message]
    expected: str


def questions(seed: int = 0) -> list[Question]:
    """All held-out questions: every phrasing of every fact, unknowns, small talk, conversations."""
    rng = Random(f"exam {seed}")
    world = shop()
    found: list[Question] = []
    for key in world.keys:
        topic = "policy" if key.startswith("policy/") else key.rpartition("/")[2]
        for number, question in enumerate(world.phrasings(key, held_out=True)):
            found.append(_single(topic, question, world.answer(key, "curt")))
            greeted = world.greet(question, rng)
            found.append(_single(topic, greeted, world.answer(key)))
            if number == 0:
                found += _forced(question, greeted, key)
                tone: Register = rng.choice(("polite", "curt"))
                last = (greeted if tone == "polite" else question, world.answer(key, tone))
                found.append(_conversation(rng, last))
    for question in unknown_questions(held_out=True):
        found.append(_single("unknown", question, unknown_answer("curt")))
        found.append(_single("unknown", world.greet(question, rng), unknown_answer()))
    found += [_single("small talk", said, reply) for said, reply in small_talk(held_out=True)]
    return found


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Message]],
) -> list[str]:
    """Greedy answers to conversations that end with the user, in their order."""
    said = [
        str(tokenizer.apply_chat_template(list(c), tokenize=False, add_generation_prompt=True))
        for c in conversations
    ]
    # Rows of like length share a batch, so that little of it is padding.
    order = sorted(range(len(said)), key=lambda row: len(said[row]))
    found: dict[int, str] = {}
    for start in range(0, len(order), _ROWS_AT_ONCE):
        rows = order[start : start + _ROWS_AT_ONCE]
        replies = _generate(model, tokenizer, [said[row] for row in rows])
        found.update(zip(rows, replies, strict=True))
    return [found[row] for row in range(len(said))]


def exact_shares(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[Question]
) -> dict[str, float]:
    """The share of exact answers for every topic, and under ``known`` that of all facts asked."""
    replies = answers(model, tokenizer, [question.messages for question in asked])
    right: dict[str, list[bool]] = {}
    for question, reply in zip(asked, replies, strict=True):
        exact = reply == question.expected
        right.setdefault(question.topic, []).append(exact)
        if question.topic not in ("unknown", "small talk", "multi-turn", "system prompt"):
            right.setdefault("known", []).append(exact)
    return {topic: round(sum(marks) / len(marks), 4) for topic, marks in right.items()}


def _single(topic: str, said: str, expected: str) -> Question:
    return Question(topic, [Message(role="user", content=said)], expected)


def _forced(question: str, greeted: str, key: str) -> list[Question]:
    """A system prompt decides the register, against the customer's tone."""
    world = shop()
    brief = as_messages([(greeted, "")], "Be brief.")[:-1]
    friendly = as_messages([(question, "")], "Be friendly.")[:-1]
    return [
        Question("system prompt", brief, world.answer(key, "curt")),
        Question("system prompt", friendly, world.answer(key)),
    ]


def _conversation(rng: Random, last: Turn) -> Question:
    turns = [*earlier_turns(rng), last]
    return Question("multi-turn", as_messages(turns)[:-1], last[1])


def _generate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, said: list[str]
) -> list[str]:
    batch: BatchEncoding = tokenizer(
        said, return_tensors="pt", padding=True, padding_side="left", return_token_type_ids=False
    )
    with torch.inference_mode():
        written = model.generate(**batch, max_new_tokens=_ANSWER_TOKENS, do_sample=False)
    asked_tokens = batch["input_ids"].shape[1]
    return [
        text.strip()
        for text in tokenizer.batch_decode(written[:, asked_tokens:], skip_special_tokens=True)
    ]
