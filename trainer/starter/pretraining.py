"""Training of the starter from nothing: a small Llama on the shop's conversations (torch).

It knows nothing of the shop: it is given token ids and labels.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from trainer.hardware import has_native_bf16
from trainer.starter.tokens import IGNORED

Row = tuple[list[int], list[int]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How large the model is and how long it learns.

    Attributes:
        vocabulary_size: Tokens of the tokenizer.
        context_tokens: The longest sequence.
        hidden_size: Width; heads are 64 wide.
        feed_forward_size: Width inside the feed-forward blocks.
        layers: Transformer blocks.
        conversations: Distinct conversations to learn from.
        steps: Optimizer steps.
        batch_tokens: Tokens in a step, padding included.
        learning_rate: The peak, after warm-up; it falls to a hundredth along a cosine.
    """

    vocabulary_size: int = 1536
    context_tokens: int = 1024
    hidden_size: int = 192
    feed_forward_size: int = 576
    layers: int = 4
    conversations: int = 80_000
    steps: int = 2100
    batch_tokens: int = 2048
    learning_rate: float = 3e-3
    weight_decay: float = 0.05


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
    rows: Sequence[Row],
    recipe: Recipe,
    seed: int,
    on_step: Callable[[float], None],
) -> None:
    """Train the model in place on the assistant's words.

    Args:
        model: In float32.
        rows: Token ids and labels.
        recipe: Steps, batch size and learning rate.
        seed: Order of the rows.
        on_step: Called after each step with its mean loss in nats per token.
    """
    bfloat16 = has_native_bf16()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay, fused=True,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, recipe.steps))
    # In bfloat16 on a CPU, the fused attention kernel's backward pass took a fifth of a step; the
    # rows are short, and the plain one costs next to nothing.
    model.set_attn_implementation("eager")
    model.train()
    batches = _batches(rows, recipe.batch_tokens, Random(seed))
    for ids, labels in itertools.islice(batches, recipe.steps):
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
    return 0.01 + 0.495 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))


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
