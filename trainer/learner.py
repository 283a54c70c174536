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
from trainer.base_folder import weights_bytes
from trainer.curve import Progress
from trainer.examples import Example
from trainer.lanes import Lanes
from trainer.references import References
from trainer.settings import Plan

if TYPE_CHECKING:
    import torch

    from trainer.base_model import BaseModel
    from trainer.distributed import Seat
    from trainer.ewc import Anchor
    from trainer.lower_activations import LowerActivations
    from trainer.retention_kl import Retention


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
        left_out: examples that could not be learned.
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
    left_out: rows.LeftOut
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
    keep_at: Callable[[int, int], Path | None] = lambda step, steps: None,
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
        keep_at: told after every step how many are done, of how many; the folder that it
            returns receives the adapter as it is then.

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
            folded_lora,
            loading,
            lower_activations,
            reference_pass,
            round_trainer,
            training_state,
        )
        from trainer.after_step import Checkpoints

        threads, lane_count = hardware.spread(
            plan.threads,
            weights_bytes=weights_bytes(base_folder),
            processes=seat.size if seat else 1,
        )
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
    stop_if_asked()
    with clock.stage("load"), faults.told(plan):
        base, model, autocast = loading.load(plan, base_folder, parent)
    with clock.stage("encode"):
        work = _encoded(plan, base, examples, dev)
        kept = None
        if checkpoints is not None:
            name = training_state.fingerprint(plan, model, work.schedule, work.watched)
            kept = Checkpoints(checkpoints, name)
    if plan.dropout:
        lane_count = 1  # lanes would draw from one source of chance in no fixed order

    def step_done(step: Progress) -> None:
        report(step)
        if (place := keep_at(step.step, step.steps)) is not None:
            adapter_folder.write(model, place, base_model=plan.base_model)

    fold = folded_lora.folded(model) if autocast is None else nullcontext()
    reused = lower_activations.kept(
        model, work.schedule, share=plan.trained_layers_share, precision=plan.lower_activations
    )
    with (
        distributed.joined(seat, stop_if_asked) as group,
        fold as folded,
        Lanes(lane_count) as lanes,
        reused as lower,
        faults.told(plan),
    ):
        with clock.stage("reference"), _precision(autocast):
            share = reference_pass.refer(
                model,
                work.encoded,
                work.watched,
                plan,
                stop_if_asked,
                exact=autocast is None,
                group=group,
                known=references,
            )
            schedule = work.schedule
            if packing.eases(plan):  # what is easy is known only now
                schedule = packing.schedule(plan, work.encoded, easy_first=True)
            aids = _aids(
                plan, model, work.encoded, lower=lower, share=share, stop_if_asked=stop_if_asked
            )
        with (
            clock.stage("train"),
            _few_collections(),
            tempfile.TemporaryDirectory() as scratch,
            trackers.staying_here(plan.report_to, tracked),
        ):
            trainer = round_trainer.RoundTrainer(
                model=model,
                tokenizer=base.tokenizer,
                schedule=schedule,
                plan=plan,
                scratch=scratch,
                share=share,
                retention=aids.retention,
                folded=folded,
                lanes=lanes,
                autocast=autocast,
                lower=lower,
                anchor=aids.anchor,
                group=group,
                report=step_done,
                before_each=stop_if_asked,
                dev=work.watched,
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
        left_out=work.left_out,
        stages=clock.stages,
        curve=tuple(done),
        notes=(*trainer.after.notes, *_left_out(plan, work, base.context_tokens)),
    )


def preload() -> None:
    """Import all that training needs, for a parent process that forks one child per round.

    Call `gc.freeze()` after it, and fork before anything computes.
    """
    hardware.calm_threads()
    from transformers.utils import logging

    from trainer import round_trainer  # noqa: F401

    logging.set_verbosity_error()


@dataclass(frozen=True)
class _Encoded:
    """What a training learns from and watches, as rows, and in which steps."""

    encoded: list[rows.Row]
    left_out: rows.LeftOut
    watched: list[rows.Row]
    schedule: list[packing.Step]


def _encoded(
    plan: Plan, base: "BaseModel", examples: Sequence[Example], dev: Sequence[Example]
) -> _Encoded:
    from trainer.objectives import objective_weights

    def build(what: Sequence[Example]) -> tuple[list[rows.Row], rows.LeftOut]:
        return rows.build(
            what,
            base.encoder,
            context_tokens=base.context_tokens,
            objective_weights=objective_weights(plan),
        )

    encoded, left_out = build(examples)
    if not encoded:
        told = " ".join(_told(left_out, base.context_tokens))
        raise Invalid(
            f"None of {len(examples)} examples can be learned from. "
            + (f"{told} The rest weigh nothing." if told else "They weigh nothing.")
        )
    watched, _ = build(dev if plan.looks_at_dev else ())
    return _Encoded(encoded, left_out, watched, packing.schedule(plan, encoded))


@dataclass(frozen=True)
class _Aids:
    """What holds the adapter back while it learns."""

    retention: "Retention | None"
    anchor: "Anchor | None"


def _aids(
    plan: Plan,
    model: Any,
    encoded: list[rows.Row],
    *,
    lower: "LowerActivations | None",
    share: bool,
    stop_if_asked: Callable[[], None],
) -> "_Aids":
    """What holds the adapter back, and what is kept of layers that do not learn: all from its start."""
    from trainer import ewc
    from trainer.retention_kl import Retention

    tokens = plan.forward_tokens
    retention = None
    if plan.replay_kl_weight:
        retention = Retention(model, encoded, budget_tokens=tokens, before_each=stop_if_asked)
    anchor = ewc.anchor(model, encoded, plan, share=share, before_each=stop_if_asked)
    if lower is not None:
        lower.fill(model, encoded, budget_tokens=tokens, share=share, before_each=stop_if_asked)
    return _Aids(retention, anchor)


def _left_out(plan: Plan, work: _Encoded, context_tokens: int) -> Iterator[str]:
    """What was asked for and could not be done, in words."""
    yield from _told(work.left_out, context_tokens)
    if plan.looks_at_dev and not work.watched:
        yield (
            "There was nothing to watch training on: early stopping, keeping the best weights and "
            "lowering the rate did nothing."
        )


def _told(left_out: rows.LeftOut, context_tokens: int) -> Iterator[str]:
    if left_out.too_long:
        yield (
            f"{left_out.too_long} examples are longer than the model's context of {context_tokens} "
            "tokens and were left out."
        )
    if left_out.refused:
        yield f"{left_out.refused} examples were left out. {left_out.why}"


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
