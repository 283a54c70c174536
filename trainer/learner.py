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
from trainer import faults, hardware, packing, rows, trackers
from trainer.curve import Progress
from trainer.examples import Example
from trainer.lanes import Lanes
from trainer.references import References
from trainer.settings import Plan

if TYPE_CHECKING:
    import torch

    from trainer.base_model import BaseModel
    from trainer.distributed import Group, Seat

# Below this size casts cost more than bf16 gains on a CPU (measured on the starter model).
_SMALL_PARAMETERS = 100_000_000


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        steps: optimizer steps taken, those before an interruption included.
        loss: weighted loss of the last step.
        losses: of every step.
        tokens: trained on, without padding, a shared prompt counted once.
        seconds: from the call to the written adapter.
        objectives: each objective's loss, unweighted, in the last step that held it.
        skipped: examples that were too long for the model's context.
        stages: seconds of each stage: import, load, encode, reference, train, save.
        curve: every step as it was reported.
        notes: what a person should know about how it went.
    """

    steps: int
    loss: float
    losses: tuple[float, ...]
    tokens: int
    seconds: float
    objectives: dict[str, float]
    skipped: int
    stages: dict[str, float]
    curve: tuple[Progress, ...] = ()
    notes: tuple[str, ...] = ()


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
    dev: Sequence[Example] = (),
    checkpoints: Path | None = None,
    tracked: Path | None = None,
    seat: "Seat | None" = None,
    references: References | None = None,
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
        dev: watched and never learned from, for early stopping, the best weights and the rate;
            without it those do nothing.
        checkpoints: folder where training writes down where it stands, and from which an
            interrupted call with the same arguments goes on; None for none.
        tracked: folder of this run for the plan's trackers; None for no report to any.
        seat: of this process, where several train together with the same arguments; the first of
            them reports, may be stopped, and writes.
        references: what the starting model was found to say before; what is new is added.

    Raises:
        Invalid: there is nothing to learn from, the base or the parent cannot be used, training
            diverged, or a tracker is not installed.
        Cancelled: `should_stop` said so; `out` is untouched.
        OutOfMemory: the model does not fit; says what to lower.
        StorageFull: the disk is full.
        Unavailable: another process that trains with this one is gone.
    """
    clock = _Clock()
    if not examples:
        raise Invalid("There are no examples to learn from.")
    trackers.check(plan.report_to)

    def stop_if_asked() -> None:
        if should_stop():
            raise Cancelled("Training was cancelled before it was done; nothing was written.")

    with clock.stage("import"):
        preload()
        import torch

        from trainer import (
            adapter_folder,
            distributed,
            ewc,
            folded_lora,
            lower_activations,
            round_trainer,
            training_state,
        )
        from trainer.after_step import Checkpoints
        from trainer.retention_kl import Retention

        threads, lane_count = hardware.spread(
            plan.threads, base_folder=base_folder, processes=seat.size if seat else 1
        )
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
    stop_if_asked()
    with clock.stage("load"), faults.told(plan):
        base, model, autocast = _load(plan, base_folder, parent)
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
        schedule = _schedule(plan, encoded)
        watched, _ = rows.build(
            dev if plan.looks_at_dev else (),
            base.encoder,
            context_tokens=base.context_tokens,
            objective_weights=round_trainer.objective_weights(plan),
        )
        kept = None
        if checkpoints is not None:
            work = training_state.fingerprint(plan, model, schedule, watched)
            kept = Checkpoints(checkpoints, work)
    if plan.dropout:
        lane_count = 1  # lanes would draw from one source of chance in no fixed order
    fold = folded_lora.folded(model) if autocast is None else nullcontext()
    reused = lower_activations.kept(
        model, schedule, share=plan.trained_layers_share, precision=plan.lower_activations
    )
    with (
        distributed.joined(seat, stop_if_asked) as group,
        fold as folded,
        Lanes(lane_count) as lanes,
        reused as lower,
        faults.told(plan),
    ):
        with clock.stage("reference"), _precision(autocast):
            share = _refer(
                model,
                encoded,
                watched,
                plan,
                stop_if_asked,
                exact=autocast is None,
                group=group,
                known=references,
            )
            if _eased(plan):  # what is easy is known only now
                schedule = _schedule(plan, encoded, easy_first=True)
            retention = (
                Retention(
                    model,
                    encoded,
                    budget_tokens=min(2 * plan.batch_tokens, plan.micro_batch_tokens),
                    before_each=stop_if_asked,
                )
                if plan.replay_kl_weight
                else None
            )
            anchor = ewc.anchor(model, encoded, plan, share=share, before_each=stop_if_asked)
            if lower is not None:
                lower.fill(
                    model,
                    encoded,
                    budget_tokens=min(2 * plan.batch_tokens, plan.micro_batch_tokens),
                    share=share,
                    before_each=stop_if_asked,
                )
        with (
            clock.stage("train"),
            _few_collections(),
            tempfile.TemporaryDirectory() as scratch,
            trackers.staying_here(tracked if plan.report_to else None),
        ):
            trainer = round_trainer.RoundTrainer(
                model=model,
                tokenizer=base.tokenizer,
                schedule=schedule,
                plan=plan,
                scratch=scratch,
                share=share,
                retention=retention,
                folded=folded,
                lanes=lanes,
                autocast=autocast,
                lower=lower,
                anchor=anchor,
                group=group,
                report=report,
                before_each=stop_if_asked,
                dev=watched,
                kept=kept,
                tracked=tracked,
            )
            trainer.train()
    stop_if_asked()
    if seat is None or seat.rank == 0:
        with clock.stage("save"), faults.told(plan):
            adapter_folder.write(model, out, base_model=plan.base_model)
    done = trainer.after.curve
    objectives = {kind: loss for step in done for kind, loss in step.objectives.items()}
    return Trained(
        steps=len(done),
        loss=done[-1].loss,
        losses=tuple(step.loss for step in done),
        tokens=done[-1].tokens,
        seconds=clock.seconds(),
        objectives=objectives,
        skipped=skipped,
        stages=clock.stages,
        curve=tuple(done),
        notes=(*trainer.after.notes, *_left_out(plan, skipped, watched, base.context_tokens)),
    )


def preload() -> None:
    """Import all that training needs, for a parent process that forks one child per round.

    Call `gc.freeze()` after it, and fork before anything computes.
    """
    hardware.calm_threads()
    from transformers.utils import logging

    from trainer import round_trainer  # noqa: F401

    logging.set_verbosity_error()


def _eased(plan: Plan) -> bool:
    return plan.staged_introduction > 0 and plan.staged_order == "easy-first"


def _schedule(
    plan: Plan, encoded: list[rows.Row], *, easy_first: bool = False
) -> list[packing.Step]:
    return packing.steps(
        encoded,
        budget_tokens=plan.batch_tokens,
        epochs=plan.epochs,
        minimum=plan.minimum_steps,
        seed=plan.seed,
        staged=plan.staged_introduction,
        easy_first=easy_first,
    )


def _load(
    plan: Plan, base_folder: Path, parent: Path | None
) -> "tuple[BaseModel, Any, torch.dtype | None]":
    """The base model, the same with the adapter to train, and what to compute in."""
    import torch

    from trainer import adapter_folder, base_model, fused_head

    base = base_model.load(base_folder, dtype=torch.float32)
    autocast = _autocast(plan, base.parameters)
    if autocast is not None:
        base.model.to(autocast)  # frozen, so nothing is lost by keeping it as it is computed
    if fused_head.applies():
        fused_head.install(base.model)
    if parent is None:
        model = adapter_folder.fresh(base.model, plan)
    else:
        model = _continued(base.model, parent, plan)
    adapter_folder.learn_on_top(model, plan.trained_layers_share)
    return base, model, autocast


def _refer(
    model: Any,
    encoded: list[rows.Row],
    watched: list[rows.Row],
    plan: Plan,
    stop_if_asked: Callable[[], None],
    *,
    exact: bool,
    group: "Group | None",
    known: References | None,
) -> bool:
    """Fill in the references, and say whether the model can share prompts between branches."""
    from trainer import base_model, batches, preference_losses

    model.eval()
    eased = _eased(plan)
    judged = [
        row for row in encoded if row.kind != "demonstration" or (eased and row.source == "new")
    ]
    judged_dev = [row for row in watched if row.kind != "demonstration"]
    forked = next((row for row in (*judged, *judged_dev) if len(row.branches) > 1), None)
    share = forked is None or batches.shares_prompts(
        model, forked, tolerance=1e-3 if exact else 5e-2
    )
    splits = preference_losses.Form.of(plan).splits
    form = f"{base_model.device().type} {'fp32' if exact else 'bf16'}{' split' if splits else ''}"
    if group is not None:
        missing = group.own(judged)  # what one process remembers, the others might not
    else:
        missing = judged if known is None else known.recall(judged, precision=form)
    for rows_ in (missing, judged_dev):
        batches.fill_references(
            model,
            rows_,
            budget_tokens=min(2 * plan.batch_tokens, plan.micro_batch_tokens),
            share=share,
            before_each=stop_if_asked,
            split=splits,
        )
    if group is not None:
        group.tell_references(judged, next(model.parameters()).device)
    if known is not None:
        known.keep(judged, precision=form)
    return share


def _continued(base: Any, parent: Path, plan: Plan) -> Any:
    """The model with its parent's adapter.

    Raises:
        Invalid: the adapter was made for another base model, or is none.
    """
    from peft import get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    from trainer import adapter_folder

    why = ""
    try:
        model = adapter_folder.resume(base, parent, dropout=plan.dropout)
        with safe_open(parent / adapter_folder.WEIGHTS, "pt") as file:
            if set(file.keys()) != set(
                get_peft_model_state_dict(model, save_embedding_layers=False)
            ):
                why = "it has weights for other layers"
    except (RuntimeError, ValueError, KeyError, SafetensorError) as fault:
        if faults.is_out_of_memory(fault):
            raise
        why = str(fault).strip().splitlines()[0]
    if why:
        raise Invalid(
            f"The adapter {parent.name} does not fit the base model {plan.base_model}: {why}. Set "
            "trainer.base_model to the model that it was trained on, or start from no adapter.",
            param="base_model",
        )
    return model


def _left_out(
    plan: Plan, skipped: int, watched: Sequence[rows.Row], context_tokens: int
) -> Iterator[str]:
    """What was asked for and could not be done, in words."""
    if skipped:
        yield (
            f"{skipped} examples are longer than the model's context of {context_tokens} tokens "
            "and were left out."
        )
    if plan.looks_at_dev and not watched:
        yield (
            "There was nothing to watch training on: early stopping, keeping the best weights and "
            "lowering the rate did nothing."
        )


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
