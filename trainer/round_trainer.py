"""TRL's SFTTrainer, taught to learn from demonstrations, preferences and verdicts in one pass.

Knows no feedback, no files and no schedule of rounds: it is given a model with an adapter and
the steps to take. Everything that is not needed for that, TRL's and the Trainer's logging,
checkpoints, sampling and telemetry, is switched off.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from feedback.errors import Invalid
from trainer.batches import Batch, answer_logits, branch_log_probs, collate, log_probs_of
from trainer.examples import Kind
from trainer.folded_lora import Folded
from trainer.lanes import Lanes
from trainer.objectives import NLL_SHARE, Denominators, denominators, losses
from trainer.packing import Step
from trainer.retention_kl import NAME as RETENTION
from trainer.retention_kl import Retention
from trainer.settings import Plan


@dataclass(frozen=True)
class StepDone:
    """One optimizer step: its loss, rate and the tokens seen so far."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    objectives: dict[str, float]


class RoundTrainer(SFTTrainer):  # type: ignore[misc]
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
        report: called after every step.
        before_each: called before every batch; may raise to stop.
        nll_share: weight of the preferred answer's likelihood beside DPO.
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
        report: Callable[[StepDone], None] = lambda _: None,
        before_each: Callable[[], None] = lambda: None,
        nll_share: float = NLL_SHARE,
    ) -> None:
        self._schedule = schedule
        self._plan = plan
        self._share = share
        self._retention = retention
        self._folded = folded
        self._lanes = lanes or Lanes(1)
        self._autocast_dtype = autocast
        self._before_each = before_each
        self._nll_share = nll_share
        self._weights: dict[str, float] = {
            RETENTION: plan.replay_kl_weight,
            **{str(kind): weight for kind, weight in objective_weights(plan).items()},
        }
        self._tokens = 0
        self._rate = 0.0
        self._objectives: defaultdict[str, float] = defaultdict(float)
        self._started = time.perf_counter()
        args = SFTConfig(
            output_dir=scratch,
            seed=plan.seed,
            learning_rate=plan.learning_rate,
            lr_scheduler_type=plan.lr_schedule,
            warmup_steps=math.ceil(plan.warmup_share * len(schedule)),
            weight_decay=plan.weight_decay,
            max_grad_norm=plan.max_grad_norm,
            num_train_epochs=1,  # the schedule holds all epochs
            per_device_train_batch_size=1,
            gradient_accumulation_steps=1,
            activation_checkpointing=False,
            bf16=False,
            use_cpu=not torch.cuda.is_available(),
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        if args.n_gpu > 1:
            # TRL refuses nn.DataParallel; one GPU trains, the one of `base_model.device`.
            args._n_gpu = 1
        super().__init__(
            model=model,
            args=args,
            train_dataset=Dataset.from_dict({"input_ids": [[0]]}),  # never read
            data_collator=collate,
            processing_class=tokenizer,
            callbacks=[_Reporter(self, report)],
        )
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> Any:
        """The schedule, collated as it is read."""
        return _Feed(self._schedule, pad=self.processing_class.pad_token_id or 0, share=self._share)

    def _get_num_items_in_batch(
        self, batch_samples: list[list[Batch]], device: torch.device
    ) -> Denominators:
        """One denominator per objective, over everything that the optimizer step holds."""
        return denominators([row for step in batch_samples for b in step for row in b.rows])

    def training_step(
        self, model: Any, inputs: list[Batch], num_items_in_batch: Denominators | None = None
    ) -> Tensor:
        """Forward and backward over the batches of one step; their summed loss."""
        if not model.training:
            model.train()
        self._rate = self._get_learning_rate()
        self._objectives.clear()
        over = num_items_in_batch or denominators([row for b in inputs for row in b.rows])
        products, weights = self._differentiated(model)

        def gradients(batch: Batch) -> tuple[Mapping[str, float], Tensor, list[Tensor | None]]:
            self._before_each()
            found, total = self._losses(model, batch, over)
            each = torch.autograd.grad(total, [*products, *weights], allow_unused=True)
            return found, total.detach(), list(each)

        loss = torch.zeros((), device=self.args.device)
        summed: list[Tensor | None] = [None] * (len(products) + len(weights))
        # Summed in the order of the batches, so that it does not matter which was done first.
        for batch, (found, total, each) in zip(
            inputs, self._lanes.map(gradients, inputs, cost=lambda b: b.tokens), strict=True
        ):
            for kind, value in found.items():
                self._objectives[kind] += value
            loss += total
            summed = [_sum(a, b) for a, b in zip(summed, each, strict=True)]
            self._tokens += batch.tokens
        for weight, gradient in zip(weights, summed[len(products) :], strict=True):
            weight.grad = gradient
        asked = [(p, g) for p, g in zip(products, summed, strict=False) if g is not None]
        if asked:
            torch.autograd.backward([p for p, _ in asked], [g for _, g in asked])
        return loss

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
        with self._precision():
            if self._retention is None:
                log_probs = branch_log_probs(model, batch)
            else:
                logits = answer_logits(model, batch)
                log_probs = log_probs_of(logits, batch)
                held = self._retention.loss(logits, batch, over.replayed_tokens)
        terms = losses(log_probs, batch, over, beta=self._plan.beta, nll_share=self._nll_share)
        found = {str(kind): loss for kind, loss in terms.items()}
        if held is not None:
            found[RETENTION] = held
        total = log_probs.new_zeros(())
        for kind, loss in found.items():
            total = total + self._weights[kind] * loss
        return {kind: loss.item() for kind, loss in found.items()}, total

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The plan's schedule without the two rates of zero that stand at its ends.

        Transformers starts to warm up from 0 and decays to 0, so the first of thirty steps would
        compute a gradient for nothing.
        """
        scheduler = super().create_scheduler(num_training_steps + 1, optimizer)
        scheduler.lr_lambdas = [_one_later(rate) for rate in scheduler.lr_lambdas]
        for group, base, rate in zip(
            scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
        ):
            group["lr"] = base * rate(0)
        scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]
        return scheduler

    def floating_point_ops(self, inputs: object) -> int:
        """Nobody asks, and counting costs time."""
        return 0

    def done(self, loss: float) -> StepDone:
        """What the step that just ended amounted to.

        Raises:
            Invalid: the loss is no longer a number.
        """
        if not math.isfinite(loss):
            raise Invalid(
                f"Training diverged at step {self.state.global_step}: the loss is {loss}. "
                "Lower the learning rate.",
                param="learning_rate",
            )
        return StepDone(
            step=self.state.global_step,
            steps=self.state.max_steps,
            loss=loss,
            learning_rate=self._rate,
            tokens=self._tokens,
            seconds=time.perf_counter() - self._started,
            objectives=dict(self._objectives),
        )

    def step_loss(self) -> float:
        """The weighted loss of the step in progress."""
        return sum(self._weights[kind] * loss for kind, loss in self._objectives.items())

    def _precision(self) -> AbstractContextManager[object]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.args.device.type, dtype=self._autocast_dtype)

    def _send_telemetry(self) -> None:
        """No word of it leaves the machine, whatever the environment says."""


def objective_weights(plan: Plan) -> dict[Kind, float]:
    """λ of each objective."""
    return {
        "demonstration": plan.demonstration_weight,
        "preference": plan.preference_weight,
        "verdict": plan.verdict_weight,
    }


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return one.add_(other)


def _one_later(rate: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: rate(step + 1)


class _Feed:
    """What the Trainer takes for a data loader: one item per optimizer step."""

    def __init__(self, schedule: list[Step], *, pad: int, share: bool) -> None:
        self._schedule, self._pad, self._share = schedule, pad, share

    def __len__(self) -> int:
        return len(self._schedule)

    def __iter__(self) -> Iterator[list[Batch]]:
        for step in self._schedule:
            yield [collate(rows, pad=self._pad, share=self._share) for rows in step]


class _Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells the caller about every step when its weights are updated."""

    def __init__(self, trainer: RoundTrainer, report: Callable[[StepDone], None]) -> None:
        self._trainer, self._report = trainer, report

    def on_step_end(self, args: object, state: object, control: object, **_: object) -> None:
        self._report(self._trainer.done(self._trainer.step_loss()))
