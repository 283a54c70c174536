"""RoundTrainer beside a bare PyTorch loop over the same batches, and beside the processor's own rate.

    python -P -m benchmarks.training_speed.loop TASK [REPEATS]

In one process, alternating; each trains the same adapter from the same start. The bare loop does the
round's arithmetic with the round's own functions for batches and losses, and nothing else of it: no
Trainer, no callback, no checkpoint. Prints one JSON object for every repeat.
"""

import copy
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.training_speed import floor
from trainer import hardware, task

hardware.calm_threads()

import torch
from torch import Tensor

from trainer import folded_lora, learner, loading, packing, reference_pass, rows
from trainer.base_model import BaseModel
from trainer.batches import collate
from trainer.objectives import NLL_SHARE, denominators, losses, objective_weights
from trainer.packing import Step
from trainer.preference_losses import Form
from trainer.round_trainer import RoundTrainer
from trainer.rows import Row
from trainer.settings import Plan

_LEAST_SECONDS = 0.5
"""The matrix products are repeated for so long."""


@dataclass(frozen=True)
class Work:
    """A model with a fresh adapter, and the steps to take; references are known."""

    plan: Plan
    base: BaseModel
    model: Any
    schedule: list[Step]

    @property
    def rows(self) -> list[Row]:
        """Every row as often as it is learned."""
        return [row for step in self.schedule for batch in step for row in batch]


def prepare(asked: task.Task) -> Work:
    """Everything that comes before the first step."""
    base, model, _ = loading.load(asked.plan, asked.base_folder, None)
    encoded, _ = rows.build(
        asked.examples,
        base.encoder,
        context_tokens=base.context_tokens,
        objective_weights=objective_weights(asked.plan),
    )
    reference_pass.refer(
        model, encoded, [], asked.plan, lambda: None, exact=True, group=None, known=None
    )
    return Work(asked.plan, base, model, packing.schedule(asked.plan, encoded))


def by_trainer(work: Work) -> tuple[float, Tensor]:
    """CPU seconds of `RoundTrainer.train`, and the adapter's weights after it."""
    model = copy.deepcopy(work.model)
    with folded_lora.folded(model) as folded, tempfile.TemporaryDirectory() as scratch:
        trainer = RoundTrainer(
            model=model,
            tokenizer=work.base.tokenizer,
            schedule=work.schedule,
            plan=work.plan,
            scratch=scratch,
            folded=folded,
        )
        with learner._few_collections():
            return _timed(trainer.train), _adapter(model)


def by_hand(work: Work) -> tuple[float, Tensor]:
    """CPU seconds of the bare loop, and the adapter's weights after it."""
    model = copy.deepcopy(work.model)
    with _folds(model) as refresh, learner._few_collections():
        return _timed(lambda: _loop(work, model, refresh)), _adapter(model)


def matmul_rate(work: Work) -> float:
    """Operations per CPU second of the layers' and the head's products alone, forward and back.

    The shapes are those of the round's middle batch.
    """
    batches = [collate(batch) for step in work.schedule for batch in step]
    lines = round(statistics.median(batch.input_ids.numel() for batch in batches))
    scored = round(statistics.median(len(batch.at) for batch in batches))
    shape = shape_of(work.model)
    products = [(lines, out, into) for out, into in shape.linear]
    products.append((scored, shape.vocabulary, shape.hidden))
    made = [
        (torch.randn(tall, into), torch.randn(out, into), torch.randn(tall, out))
        for tall, out, into in products
    ]
    operations = sum(4 * tall * out * into for tall, out, into in products)
    done, begun = 0, time.process_time()
    while time.process_time() - begun < _LEAST_SECONDS:
        for x, weight, gradient in made:
            torch.mm(x, weight.t())
            torch.mm(gradient, weight)
        done += operations
    return done / (time.process_time() - begun)


def shape_of(model: Any) -> floor.Shape:
    """What of a model counts: the weights that have an adapter, and the head."""
    head = model.get_output_embeddings().weight
    linear = [
        tuple(module.base_layer.weight.shape)
        for module in model.modules()
        if hasattr(module, "base_layer")
    ]
    return floor.Shape(tuple(linear), hidden=head.shape[1], vocabulary=head.shape[0])


def _loop(work: Work, model: Any, refresh: Callable[[], None]) -> None:
    plan = work.plan
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, weight_decay=0.0)
    weights = objective_weights(plan)
    steps = len(work.schedule)
    pad = work.base.tokenizer.pad_token_id
    model.train()
    for number, step in enumerate(work.schedule):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _rate(number, steps, plan.warmup_share)
        over = denominators([row for batch in step for row in batch])
        refresh()
        for batch_rows in step:
            batch = collate(batch_rows, pad=pad)
            said, _ = Form.of(plan).log_probs(model, batch)
            found = losses(said, batch, over, beta=plan.beta, nll_share=NLL_SHARE)
            total = torch.stack([weights[kind] * loss for kind, loss in found.items()]).sum()
            torch.autograd.backward(total, retain_graph=True)
        torch.nn.utils.clip_grad_norm_(trained, plan.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()


@contextmanager
def _folds(model: Any) -> Iterator[Callable[[], None]]:
    """The same layers multiplied in as the round does; where there are none, nothing."""
    with folded_lora.folded(model) as folded:
        yield folded.refresh


def _rate(step: int, steps: int, warmup_share: float) -> float:
    """Cosine after a linear warm-up, without the rates of zero at both ends, as in a round."""
    warmup = math.ceil(warmup_share * steps)
    if step + 1 < warmup:
        return (step + 1) / warmup
    done = (step + 1 - warmup) / max(1, steps + 1 - warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def _timed(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _adapter(model: Any) -> Tensor:
    learned = [weight.detach().flatten() for weight in model.parameters() if weight.requires_grad]
    return torch.cat(learned)


def main(folder: Path, repeats: int) -> None:
    """Measure, a line a repeat."""
    asked = task.read(folder)
    learner.preload()
    torch.set_num_threads(asked.plan.threads or 1)
    work = prepare(asked)
    operations = floor.training(shape_of(work.model), work.rows)
    for number in range(repeats):
        order = [by_trainer, by_hand] if number % 2 else [by_hand, by_trainer]
        rates = [matmul_rate(work)]
        took: dict[Any, tuple[float, Tensor]] = {}
        for way in order:
            took[way] = way(work)
            rates.append(matmul_rate(work))
        (ours, learned), (bare, expected) = took[by_trainer], took[by_hand]
        found = {
            "trainer_cpu_seconds": ours,
            "bare_cpu_seconds": bare,
            "difference": float((learned - expected).norm() / expected.norm()),
            "operations": operations,
            "achieved_per_second": operations / ours,
            "matmul_per_second": statistics.median(rates),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
