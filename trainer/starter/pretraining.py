"""Training of the starter from nothing: a small Llama on the shop's conversations (torch).

It knows nothing of the shop: it is given token ids and labels.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from trainer.starter.tokens import IGNORED

Row = tuple[list[int], list[int]]


class Lesson(NamedTuple):
    """Rows of token ids and labels, and for how many optimizer steps they are learned."""

    rows: Sequence[Row]
    steps: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How large the model is and how long it learns.

    Attributes:
        vocabulary_size: Tokens of the tokenizer.
        context_tokens: The longest sequence.
        hidden_size: Width; heads are 64 wide.
        feed_forward_size: Width inside the feed-forward blocks.
        layers: Transformer blocks.
        conversations: Distinct conversations about the shop's own world.
        steps: Optimizer steps on those.
        rehearsals: Other worlds that are learned first, one after the other.
        rehearsal_conversations: Distinct conversations about each of those.
        rehearsal_steps: Optimizer steps on each.
        batch_tokens: Tokens in a step, padding included.
        learning_rate: The peak, after warm-up; it falls to a twentieth along a cosine.
    """

    vocabulary_size: int = 1536
    context_tokens: int = 1024
    hidden_size: int = 192
    feed_forward_size: int = 576
    layers: int = 4
    conversations: int = 50_000
    steps: int = 1200
    rehearsals: int = 5
    rehearsal_conversations: int = 8_000
    rehearsal_steps: int = 160
    batch_tokens: int = 2048
    learning_rate: float = 3e-3
    weight_decay: float = 0.05

    @property
    def all_steps(self) -> int:
        """Optimizer steps in all."""
        return self.rehearsals * self.rehearsal_steps + self.steps


def new_model(recipe: Recipe, pad_id: int, end_id: int) -> LlamaForCausalLM:
    """An untrained model in float32; the same torch seed gives the same weights."""
    heads = recipe.hidden_size // 64
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary_size,
            hidden_size=recipe.hidden_size,
            intermediate_size=recipe.feed_forward_size,
            num_hidden_layers=recipe.layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=64,
            max_position_embeddings=recipe.context_tokens,
            tie_word_embeddings=True,
            pad_token_id=pad_id,
            eos_token_id=end_id,
            bos_token_id=None,
        )
    )


def pretrain(
    model: LlamaForCausalLM,
    lessons: Sequence[Lesson],
    recipe: Recipe,
    seed: int,
    on_step: Callable[[float], None],
) -> None:
    """Train the model in place on the assistant's words.

    Args:
        model: In float32.
        lessons: What to learn, one after the other.
        recipe: Batch size and learning rate.
        seed: Order of the rows.
        on_step: Called after each step with its mean loss in nats per token.
    """
    bfloat16 = processor_has_bfloat16()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay, fused=True,
    )  # fmt: skip
    steps = sum(lesson.steps for lesson in lessons)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    # The fused attention kernel's backward pass is slow on CPUs in bfloat16, and the rows are
    # short: the plain one takes two thirds of the time of a step.
    model.set_attn_implementation("eager")
    model.train()
    for ids, labels in _taught(lessons, recipe.batch_tokens, Random(seed)):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = _loss(model, ids, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        on_step(loss.item())
    model.eval()
    model.set_attn_implementation("sdpa")


def processor_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; elsewhere it is slower than float32."""
    try:
        with open("/proc/cpuinfo") as lines:
            flags = lines.read()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _loss(model: LlamaForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    # Padding is on the right, where causal attention never looks, so that no mask is needed; and
    # only tokens that carry a label are worth a row of logits.
    hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
    targets = labels[:, 1:]
    learned = targets != IGNORED
    logits = model.lm_head(hidden[learned])
    return torch.nn.functional.cross_entropy(logits.float(), targets[learned])


def _rate(step: int, steps: int) -> float:
    warm_up = max(1, steps // 30)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.05 + 0.475 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


def _taught(
    lessons: Sequence[Lesson], batch_tokens: int, rng: Random
) -> Iterator[tuple[Tensor, Tensor]]:
    for lesson in lessons:
        yield from itertools.islice(_batches(lesson.rows, batch_tokens, rng), lesson.steps)


def _batches(
    rows: Sequence[Row], batch_tokens: int, rng: Random
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of rows of like length, in a new order each time through."""
    while True:
        # The jitter regroups rows of like length, so that no two passes see the same batches.
        order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]) + rng.uniform(0, 4))
        groups: list[list[int]] = []
        longest = 0
        for row in order:
            longest = max(longest, len(rows[row][0]))
            if not groups or (len(groups[-1]) + 1) * longest > batch_tokens:
                groups.append([])
                longest = len(rows[row][0])
            groups[-1].append(row)
        rng.shuffle(groups)
        for group in groups:
            yield _padded([rows[row] for row in group])


def _padded(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    length = max(len(ids) for ids, _ in rows)
    ids = [row + [0] * (length - len(row)) for row, _ in rows]
    labels = [row + [IGNORED] * (length - len(row)) for _, row in rows]
    return torch.tensor(ids), torch.tensor(labels)
