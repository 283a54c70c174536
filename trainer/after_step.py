"""What is done after each optimizer step: look at dev, adapt, report, write a checkpoint.

Knows no loss and no gradient; the trainer computes those when it is asked.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from feedback.errors import HeedError
from trainer import checkpoints, schedules, trackers, training_state
from trainer.curve import Progress
from trainer.dynamic import NoiseScale, Plateau, next_scale
from trainer.faults import is_disk_full
from trainer.settings import Plan
from trainer.stopping import Watch

if TYPE_CHECKING:
    from trainer.round_trainer import RoundTrainer


@dataclass(frozen=True)
class Checkpoints:
    """Where a training keeps its checkpoints, and the name of its work."""

    folder: Path
    work: str


class AfterStep(TrainerCallback):  # type: ignore[misc]
    """Called by the Trainer between steps.

    Args:
        trainer: whose steps.
        plan: what to do.
        report: called after every step.
        stop_if_asked: may raise to stop.
        kept: where checkpoints go, or None for none.

    Attributes:
        curve: every step so far, those before an interruption included.
        notes: what a person should know about how it went.
    """

    def __init__(
        self,
        trainer: "RoundTrainer",
        plan: Plan,
        *,
        report: Callable[[Progress], None],
        stop_if_asked: Callable[[], None],
        kept: Checkpoints | None,
    ) -> None:
        self._trainer, self._plan, self._kept = trainer, plan, kept
        self._report, self._stop_if_asked = report, stop_if_asked
        self._watch = Watch(plan.early_stopping_patience)
        self._plateau = Plateau(plan.plateau_patience, plan.plateau_factor)
        self._best: dict[str, Any] = {}
        self._written_seconds = time.monotonic()
        self.noise = NoiseScale()
        self.curve: list[Progress] = []
        self.notes: list[str] = []

    @property
    def rate_factor(self) -> float:
        """What the schedule's rate is multiplied with."""
        return self._plateau.rate_factor

    def on_train_begin(self, _args: object, state: Any, _control: object, **_: object) -> None:
        found = checkpoints.latest(self._kept.folder, work=self._kept.work) if self._kept else None
        if found is not None:
            state.global_step = found.step
            self._restore(found)
            self.notes.append(f"Taken up again after step {found.step}.")
        elif self._trainer.has_dev:
            self._watch.begin(self._trainer.dev_loss())

    def on_step_end(self, _args: object, state: Any, control: Any, **_: object) -> None:
        ended = self._trainer.course.position >= self._trainer.course.planned
        look = self._trainer.has_dev and (
            ended or state.global_step % self._plan.dev_every_steps == 0
        )
        # A training that diverged is found out before anything of it is looked at or kept.
        done = self._trainer.done()
        if look:
            done = self._trainer.done(dev_loss=self._trainer.dev_loss())
            self._look(done)
        self._adapt_batch(state.global_step)
        self.curve.append(done)
        self._report(done)
        if self._trainer.args.report_to:
            self._trainer.log(trackers.logs(done))
        if self._watch.stop and not ended:
            control.should_training_stop = True
            self.notes.append(
                f"Stopped early after step {done.step} of {done.steps}: the loss on dev was best "
                f"after step {self._watch.best_step}."
            )
        elif self._kept is not None:
            self._write_if_due(self._kept, state.global_step)

    def on_train_end(self, _args: object, state: Any, _control: object, **_: object) -> None:
        watch = self._watch
        if watch.start_loss is not None and watch.best_loss >= watch.start_loss:
            self.notes.append(
                f"The loss on dev never fell below {watch.start_loss:.4g}, where it started."
            )
        if self._best:
            training_state.put_back(self._trainer, self._best)
            self.notes.append(
                f"Kept the weights after step {watch.best_step} of {state.global_step}, where the "
                f"loss on dev was lowest ({watch.best_loss:.4g})."
            )

    def _look(self, done: Progress) -> None:
        assert done.dev_loss is not None
        if self._watch.look(done.step, done.dev_loss) and self._plan.keep_best:
            self._best = training_state.copied(training_state.weights(self._trainer))
        if self._plateau.look(done.dev_loss):
            schedules.set_rates(self._trainer.lr_scheduler)
            self.notes.append(
                f"Lowered the learning rate to {self.rate_factor:.3g} of the plan's after step "
                f"{done.step}: the loss on dev had stopped falling."
            )

    def _adapt_batch(self, step: int) -> None:
        tokens, course = self.noise.tokens, self._trainer.course
        if tokens is None:
            return
        wanted = tokens / self._plan.batch_tokens
        scale = next_scale(course.scale, wanted=wanted, most=self._plan.batch_range)
        if scale != course.scale:
            course.scale = scale
            self.notes.append(
                f"Steps of about {self._plan.batch_tokens * scale:.0f} tokens after step {step}: "
                f"the gradient's noise scale is {tokens:.0f} tokens."
            )
            self.noise = NoiseScale()  # measured anew before the next change

    def _write_if_due(self, kept: Checkpoints, step: int) -> None:
        due = time.monotonic() - self._written_seconds >= self._plan.checkpoint_seconds
        if not due or not self._trainer.writes:
            return
        self._stop_if_asked()  # another process may have taken the round over
        tensors, values = training_state.capture(self._trainer)
        tensors |= {f"best/{name}": each for name, each in self._best.items()}
        state = checkpoints.State(
            step,
            tensors,
            {
                "training": values,
                "trainer": self._trainer.state_values(),
                "watch": self._watch.state(),
                "plateau": self._plateau.state(),
                "noise": self.noise.state(),
                "curve": [asdict(each) for each in self.curve],
                "notes": self.notes,
            },
        )
        try:
            checkpoints.write(kept.folder, state, work=kept.work)
        except HeedError:
            raise
        except Exception as fault:
            if not is_disk_full(fault):
                raise
            # It is a precaution: the round may still end well, with the room that it has.
            self.notes.append(f"No checkpoint could be written after step {step}: {fault}")
        self._written_seconds = time.monotonic()

    def _restore(self, found: checkpoints.State) -> None:
        values = found.values
        self._trainer.restore_values(values["trainer"])
        self._watch.restore(values["watch"])
        self._plateau.restore(values["plateau"])
        self.noise.restore(values["noise"])
        self.curve = [Progress(**each) for each in values["curve"]]
        self.notes = values["notes"]
        self._best = {
            name.removeprefix("best/"): each
            for name, each in found.tensors.items()
            if name.startswith("best/")
        }
        training_state.restore(self._trainer, found.tensors, values["training"])
