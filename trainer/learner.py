"""One round of learning: examples in, a plain PEFT adapter out.

Knows no database, no registry and no gate. Torch and TRL are imported when training starts, so
that importing this module costs nothing and the threads can be calmed first.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedback.errors import HeedError, Invalid
from trainer import hardware, packing, rows
from trainer.examples import Example
from trainer.lanes import Lanes
from trainer.settings import Plan

if TYPE_CHECKING:
    import torch

    from trainer.round_trainer import StepDone

# Below this size casts cost more than bf16 gains on a CPU (measured on the starter model).
_SMALL_PARAMETERS = 100_000_000


@dataclass(frozen=True)
class Progress:
    """One optimizer step, as it is reported."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        steps: optimizer steps taken.
        loss: weighted loss of the last step.
        losses: of every step.
        tokens: trained on, without padding, a shared prompt counted once.
        seconds: from the call to the written adapter.
        objectives: each objective's loss, unweighted, in the last step that held it.
        skipped: examples that were too long for the model's context.
        stages: seconds of each stage: import, load, encode, reference, train, save.
    """

    steps: int
    loss: float
    losses: tuple[float, ...]
    tokens: int
    seconds: float
    objectives: dict[str, float]
    skipped: int
    stages: dict[str, float]


class Cancelled(HeedError):
    """Training was asked to stop and wrote nothing."""

    code = "conflict"


def train(
    plan: Plan,
    base_folder: Path,
    examples: Sequence[Example],
    *,
    parent: Path | None,
    out: Path,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint: Callable[[int, int], Path | None] = lambda step, steps: None,
) -> Trained:
    """Train an adapter that continues `parent` on the mixed examples, and write it to `out`.

    The reference of DPO and KTO is the model as it is when training starts: `parent`, or the base
    model where there is none. A parent keeps its rank, alpha and target modules; the plan's are
    those of a fresh adapter. Same inputs give the same weights on a CPU; for a small model with any
    number of threads, for others with as many.

    Args:
        plan: the hyperparameters.
        base_folder: the base model.
        examples: what to learn, replay included.
        parent: PEFT folder of the adapter to continue, or None for a fresh one.
        out: folder that receives adapter_config.json and adapter_model.safetensors.
        report: called after every optimizer step.
        should_stop: asked before every batch.
        checkpoint: told after every step how many are done, of how many; the folder that it
            returns receives the adapter as it is then.

    Raises:
        Invalid: there is nothing to learn from, the base or the parent cannot be used, or
            training diverged.
        Cancelled: `should_stop` said so; `out` is untouched.
    """
    clock = _Clock()
    if not examples:
        raise Invalid("There are no examples to learn from.")

    def stop_if_asked() -> None:
        if should_stop():
            raise Cancelled("Training was cancelled before it was done; nothing was written.")

    with clock.stage("import"):
        preload()
        import torch

        from trainer import adapter_folder, base_model, folded_lora, round_trainer

        threads, lane_count = hardware.spread(plan.threads, base_folder=base_folder)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
    stop_if_asked()
    with clock.stage("load"):
        base = base_model.load(base_folder, dtype=torch.float32)
        autocast = _autocast(plan, base.parameters)
        if autocast is not None:
            base.model.to(autocast)  # frozen, so nothing is lost by keeping it as it is computed
        if parent is None:
            model = adapter_folder.fresh(base.model, plan)
        else:
            model = adapter_folder.resume(base.model, parent, dropout=plan.dropout)
    with clock.stage("encode"):
        encoded, skipped = rows.build(
            examples,
            base.encoder,
            context_tokens=base.context_tokens,
            objective_weights=round_trainer.objective_weights(plan),
        )
        if not encoded:
            raise Invalid(
                f"None of {len(examples)} examples can be learned from: {skipped} are longer than "
                f"the model's context of {base.context_tokens} tokens, the rest weigh nothing."
            )
        schedule = packing.steps(
            encoded,
            budget_tokens=plan.batch_tokens,
            epochs=plan.epochs,
            minimum=plan.minimum_steps,
            seed=plan.seed,
        )
    done: list[StepDone] = []

    def step_done(step: "StepDone") -> None:
        done.append(step)
        report(
            Progress(
                step.step, step.steps, step.loss, step.learning_rate, step.tokens, step.seconds
            )
        )
        if (place := checkpoint(step.step, step.steps)) is not None:
            adapter_folder.write(model, place, base_model=plan.base_model)

    fold = folded_lora.folded(model) if autocast is None else nullcontext()
    with fold as folded, Lanes(lane_count) as lanes:
        with clock.stage("reference"), _precision(autocast):
            share = _refer(model, encoded, plan, stop_if_asked, exact=autocast is None)
        with clock.stage("train"), _few_collections(), tempfile.TemporaryDirectory() as scratch:
            round_trainer.RoundTrainer(
                model=model,
                tokenizer=base.tokenizer,
                schedule=schedule,
                plan=plan,
                scratch=scratch,
                share=share,
                folded=folded,
                lanes=lanes,
                autocast=autocast,
                report=step_done,
                before_each=stop_if_asked,
            ).train()
    stop_if_asked()
    with clock.stage("save"):
        adapter_folder.write(model, out, base_model=plan.base_model)
    objectives = {kind: loss for step in done for kind, loss in step.objectives.items()}
    return Trained(
        steps=len(done),
        loss=done[-1].loss,
        losses=tuple(step.loss for step in done),
        tokens=done[-1].tokens,
        seconds=clock.seconds(),
        objectives={str(kind): loss for kind, loss in objectives.items()},
        skipped=skipped,
        stages=clock.stages,
    )


def preload() -> None:
    """Import all that training needs, for a parent process that forks one child per round.

    Call `gc.freeze()` after it, and fork before anything computes.
    """
    hardware.calm_threads()
    from transformers.utils import logging

    from trainer import round_trainer  # noqa: F401

    logging.set_verbosity_error()


def _refer(
    model: Any,
    encoded: list[rows.Row],
    plan: Plan,
    stop_if_asked: Callable[[], None],
    *,
    exact: bool,
) -> bool:
    """Fill in the references, and say whether the model can share prompts between branches."""
    from trainer import batches

    model.eval()
    judged = [row for row in encoded if row.kind != "demonstration"]
    forked = next((row for row in judged if len(row.branches) > 1), None)
    share = forked is None or batches.shares_prompts(
        model, forked, tolerance=1e-3 if exact else 5e-2
    )
    batches.fill_references(
        model,
        judged,
        budget_tokens=2 * plan.batch_tokens,
        share=share,
        before_each=stop_if_asked,
    )
    return share


def _autocast(plan: Plan, parameters: int) -> "torch.dtype | None":
    """What to compute in; None is fp32, which is also `auto` where bf16 would not be faster."""
    import torch

    if plan.precision == "bf16":
        return torch.bfloat16
    if plan.precision == "fp32":
        return None
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    native = hardware.has_native_bf16() and parameters >= _SMALL_PARAMETERS
    return torch.bfloat16 if native else None


@contextmanager
def _precision(autocast: "torch.dtype | None") -> Iterator[None]:
    import torch

    from trainer import base_model

    with torch.autocast(base_model.device().type, dtype=autocast, enabled=autocast is not None):
        yield


@contextmanager
def _few_collections() -> Iterator[None]:
    """Spare the collector what the imports left behind: the Trainer collects more than once."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Clock:
    """Wall-clock seconds of the stages."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.stages: dict[str, float] = {}

    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = time.perf_counter() - start
