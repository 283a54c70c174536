"""TRL's SFTTrainer, taught to learn from demonstrations, preferences and verdicts in one pass.

Knows no feedback, no files and no schedule of rounds: it is given a model with an adapter and
the steps to take. Everything that is not needed for that, TRL's and the Trainer's logging,
checkpoints, sampling and telemetry, is switched off.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback

from feedback.errors import Invalid
from trainer import gradient_noise
from trainer.after_step import AfterStep, Checkpoints
from trainer.batches import Batch, answer_logits, collate
from trainer.course import Course
from trainer.curve import Progress
from trainer.distributed import Group
from trainer.ewc import Anchor
from trainer.feed import Feed, rows_of
from trainer.folded_lora import Folded
from trainer.halves import attempted
from trainer.lanes import Lanes
from trainer.lower_activations import LowerActivations, given
from trainer.objectives import (
    NLL_SHARE,
    Denominators,
    denominators,
    losses,
    objective_weights,
)
from trainer.packing import Step, by_length
from trainer.preference_losses import Form
from trainer.quiet_trainer import QuietTrainer
from trainer.retention_kl import NAME as RETENTION
from trainer.retention_kl import Retention
from trainer.rows import Row
from trainer.settings import Plan
from trainer.trainer_arguments import sft_config
from trainer.unfreezing import Unfreezing


class RoundTrainer(QuietTrainer):
    """Trains the adapter of a PEFT model on rows.

    Args:
        model: a PEFT model whose adapter is trainable.
        tokenizer: its tokenizer.
        schedule: the batches of each optimizer step.
        plan: the hyperparameters.
        scratch: a folder for what the Trainer insists to write; nothing in it is kept.
        share: whether a row's branches share their prompt in one line.
        retention: what the model said when the round started, to be held to it; None for no hold.
        folded: the layers that are computed as one product, if any.
        lanes: where the batches of a step run; how many changes no result.
        autocast: the dtype to compute in, or None for the weights' own.
        lower: what is kept of the layers that do not learn, if anything.
        anchor: what holds the adapter where it was, if anything.
        group: the processes that share every step, if this is not the only one.
        report: called after every step.
        before_each: called before every batch; may raise to stop.
        nll_share: weight of the preferred answer's likelihood beside DPO.
        dev: rows that are watched and never learned from.
        kept: where checkpoints lie, or None for none.
        tracked: folder of this run for trackers, or None for no report to any.
    """

    def __init__(
        self,
        *,
        model: Any,
        tokenizer: Any,
        schedule: list[Step],
        plan: Plan,
        scratch: str,
        share: bool = True,
        retention: Retention | None = None,
        folded: Folded | None = None,
        lanes: Lanes | None = None,
        autocast: torch.dtype | None = None,
        lower: LowerActivations | None = None,
        anchor: Anchor | None = None,
        group: Group | None = None,
        report: Callable[[Progress], None] = lambda _: None,
        before_each: Callable[[], None] = lambda: None,
        nll_share: float = NLL_SHARE,
        dev: Sequence[Row] = (),
        kept: Checkpoints | None = None,
        tracked: Path | None = None,
    ) -> None:
        self.course = Course(
            schedule,
            largest_tokens=plan.micro_batch_tokens,
            halves=plan.batch_range > 1,
            most=plan.batch_range,
            seed=plan.seed,
        )
        self._feed = Feed(self.course, self._collate, group)
        self._dev = dev
        self._plan = plan
        self._share = share
        self._retention = retention
        self._folded = folded
        self._lanes = lanes or Lanes(1)
        self._autocast_dtype = autocast
        self._lower, self._anchor, self._group = lower, anchor, group
        self._penalty = 0.0
        self._unfreezing: Unfreezing | None = None
        self._before_each = before_each
        self._nll_share = nll_share
        self._form = Form.of(plan)
        self._weights: dict[str, float] = {
            RETENTION: plan.replay_kl_weight,
            **{str(kind): weight for kind, weight in objective_weights(plan).items()},
        }
        self._tokens = 0
        self._rate = self._norm = 0.0
        self._objectives: defaultdict[str, float] = defaultdict(float)
        self._started = time.perf_counter()
        self.after = AfterStep(self, plan, report=report, stop_if_asked=before_each, kept=kept)
        super().__init__(
            model=model,
            args=sft_config(plan, steps=len(schedule), scratch=scratch, tracked=tracked),
            train_dataset=Dataset.from_dict({"input_ids": [[0]]}),  # never read
            data_collator=collate,
            processing_class=tokenizer,
            callbacks=[self.after],
        )
        self.remove_callback(PrinterCallback)
        if group is not None:
            group.own_chance(plan.seed)

    def get_train_dataloader(self) -> Any:
        """The course, collated as it is read."""
        return self._feed

    def _get_num_items_in_batch(
        self, batch_samples: list[list[Batch]], device: torch.device
    ) -> Denominators:
        """One denominator per objective, over everything that the optimizer step holds."""
        return denominators([row for step in batch_samples for row in rows_of(step)])

    def training_step(
        self, model: Any, inputs: list[Batch], num_items_in_batch: Denominators | None = None
    ) -> Tensor:
        """Forward and backward over the batches of one step; their summed loss."""
        if not model.training:
            model.train()
        self._rate = self._get_learning_rate()
        over = num_items_in_batch or denominators(rows_of(inputs))
        if self._lower is not None:
            self._lower.settle()
        if self._unfreezing is not None:
            self._unfreezing.at(self.state.global_step)
        if self._group is not None:
            return self._together(self._group, model, inputs, over)
        while (loss := attempted(partial(self._gradients, model, inputs, over))) is None:
            inputs = self._cut_finer(inputs)
        self._tokens += sum(batch.tokens for batch in inputs)
        return loss

    def _gradients(self, model: Any, inputs: list[Batch], over: Denominators) -> Tensor:
        """Leave the gradient of these batches on the weights, and return their loss."""
        self._objectives.clear()
        self._penalty = 0.0
        products, weights = self._differentiated(model)

        def gradients(batch: Batch) -> tuple[Mapping[str, float], Tensor, list[Tensor | None]]:
            self._before_each()
            found, total = self._losses(model, batch, over)
            each = torch.autograd.grad(total, [*products, *weights], allow_unused=True)
            return found, total.detach(), list(each)

        loss = torch.zeros((), device=self.args.device)
        summed: list[list[Tensor | None]] = [
            [None] * (len(products) + len(weights)) for _ in range(_parts(inputs))
        ]
        # Summed in the order of the batches, so that it does not matter which was done first.
        for batch, (found, total, each) in zip(
            inputs, self._lanes.map(gradients, inputs, cost=lambda b: b.tokens), strict=True
        ):
            for kind, value in found.items():
                self._objectives[kind] += value
            loss += total
            part = summed[batch.part]
            summed[batch.part] = [_sum(a, b) for a, b in zip(part, each, strict=True)]
        if len(summed) > 1:
            tokens = [sum(b.tokens for b in inputs if b.part == n) for n in range(len(summed))]
            gradient_noise.measure(self.after.noise, summed, self._folded, tokens=tokens)
        whole = [reduce(_sum, each) for each in zip(*summed, strict=True)]
        for weight, gradient in zip(weights, whole[len(products) :], strict=True):
            weight.grad = gradient
        if self._anchor is not None and self.writes:
            slopes = {} if self._folded is None else self._folded.by_factor(whole)
            self._penalty = self._anchor.pull(slopes)
            loss += self._penalty
        asked = [(p, g) for p, g in zip(products, whole, strict=False) if g is not None]
        if asked:
            torch.autograd.backward([p for p, _ in asked], [g for _, g in asked])
        return loss

    def _together(
        self, group: Group, model: Any, inputs: list[Batch], over: Denominators
    ) -> Tensor:
        """As `_gradients`, over the batches of all processes; what fails in one fails in all."""
        fault: Exception | None = None
        loss = torch.zeros((), device=self.args.device)
        try:
            loss = self._gradients(model, inputs, over)
        except Exception as error:  # noqa: BLE001 - raised by `sum`, once the others know
            fault = error
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        kinds = list(self._weights)
        numbers = [loss.item(), sum(batch.tokens for batch in inputs), self._penalty]
        numbers += [self._objectives.get(kind, 0.0) for kind in kinds]
        numbers += [float(kind in self._objectives) for kind in kinds]
        total, tokens, self._penalty, *rest = group.sum(trained, numbers, fault)
        self._tokens += round(tokens)
        for kind, value, seen in zip(kinds, rest, rest[len(kinds) :], strict=False):
            if seen:
                self._objectives[kind] = value
        return loss.new_tensor(total)

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Denominators | None = None,
    ) -> Tensor:
        """Σₖ λₖ · lossₖ over the objectives k that the batch holds."""
        return self._losses(model, inputs, num_items_in_batch or denominators(inputs.rows))[1]

    def _differentiated(self, model: Any) -> tuple[list[Tensor], list[Tensor]]:
        """What a batch's gradient is asked of: folded products, and the weights of other layers."""
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        if self._folded is None:
            return [], trained
        self._folded.refresh()
        known = {id(weight) for weight in self._folded.parameters}
        return self._folded.products, [weight for weight in trained if id(weight) not in known]

    def _losses(
        self, model: Any, inputs: Batch, over: Denominators
    ) -> tuple[Mapping[str, float], Tensor]:
        """Each objective's loss, and their weighted sum."""
        batch = inputs.to(self.args.device)
        held: Tensor | None = None
        with self._precision(), given(self._lower, batch):
            if self._retention is None:
                log_probs, beyond = self._form.log_probs(model, batch)
            else:
                logits = answer_logits(model, batch)
                log_probs, beyond = self._form.log_probs_of(logits, batch)
                held = self._retention.loss(logits, batch, over.replayed_tokens)
        terms = losses(
            log_probs,
            batch,
            over,
            beta=self._plan.beta,
            nll_share=self._nll_share,
            form=self._form,
            beyond=beyond,
        )
        found = {str(kind): loss for kind, loss in terms.items()}
        if held is not None:
            found[RETENTION] = held
        total = log_probs.new_zeros(())
        for kind, loss in found.items():
            total = total + self._weights[kind] * loss
        return {kind: loss.item() for kind, loss in found.items()}, total

    @property
    def writes(self) -> bool:
        """Whether this process writes, and counts what is to be counted once."""
        return self._group is None or self._group.first

    @property
    def has_dev(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._dev)

    def dev_loss(self) -> float:
        """The weighted loss on dev with the weights as they are, dropout off."""
        over = denominators(self._dev)
        tokens = min(self._plan.forward_tokens, self.course.largest_tokens)
        groups = by_length(self._dev, budget_tokens=tokens)
        batches = [self._collate(rows) for rows in groups]
        self.model.eval()
        with torch.no_grad():
            self._differentiated(self.model)

        def loss(batch: Batch) -> float:
            self._before_each()
            with torch.no_grad():  # holds for one thread
                return self._losses(self.model, batch, over)[1].item()

        return math.fsum(self._lanes.map(loss, batches, cost=lambda batch: batch.tokens))

    def done(self, dev_loss: float | None = None) -> Progress:
        """What the step that just ended amounted to.

        Raises:
            Invalid: the loss is no longer a number.
        """
        loss = sum(self._weights[kind] * each for kind, each in self._objectives.items())
        loss += self._penalty
        told = {"loss": loss, "gradient's norm": self._norm, "loss on dev": dev_loss or 0.0}
        for name, value in told.items():
            if not math.isfinite(value):
                raise Invalid(
                    f"Training diverged at step {self.state.global_step}: the {name} is {value}. "
                    "Lower the learning rate.",
                    param="learning_rate",
                )
        return Progress(
            step=self.state.global_step,
            steps=self.course.steps,
            loss=loss,
            learning_rate=self._rate,
            tokens=self._tokens,
            seconds=time.perf_counter() - self._started,
            objectives={str(kind): each for kind, each in self._objectives.items()},
            gradient_norm=self._norm,
            dev_loss=dev_loss,
        )

    def state_values(self) -> dict[str, Any]:
        """What `restore_values` needs."""
        seconds = time.perf_counter() - self._started
        return {"tokens": self._tokens, "seconds": seconds, "course": self.course.state()}

    def restore_values(self, values: Mapping[str, Any]) -> None:
        """Go on where a trainer with the same schedule stood."""
        self._tokens = values["tokens"]
        self._started = time.perf_counter() - values["seconds"]
        self.course.restore(values["course"])

    def _collate(self, rows: Sequence[Row]) -> Batch:
        pad = self.processing_class.pad_token_id or 0
        return collate(rows, pad=pad, share=self._share)

    def _cut_finer(self, inputs: list[Batch]) -> list[Batch]:
        """The same rows in batches of half the size, after memory ran out.

        Raises:
            OutOfMemory: every batch holds a single row already.
        """
        self.model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        parts: list[Step] = [[] for _ in range(_parts(inputs))]
        for batch in inputs:
            parts[batch.part].append(list(batch.rows))
        finer = self.course.finer(parts)
        self.after.notes.append(
            f"Memory ran out at step {self.state.global_step + 1}; it went on with batches of at "
            f"most {self.course.largest_tokens} tokens. Set trainer.micro_batch_tokens to that."
        )
        return self._feed.item(finer, finer)


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return one.add_(other)


def _parts(inputs: Sequence[Batch]) -> int:
    return inputs[-1].part + 1 if inputs else 1
