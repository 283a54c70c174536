"""TRL's SFTTrainer with a round's optimizer, schedule and precision, and without its chatter.

Knows no row and no loss; `trainer.round_trainer` computes those.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from trl import SFTTrainer

from trainer import layers, schedules
from trainer.after_step import AfterStep
from trainer.course import Course
from trainer.settings import Plan
from trainer.unfreezing import Unfreezing


class QuietTrainer(SFTTrainer):  # type: ignore[misc]
    """What of the Trainer's machinery a round uses.

    Attributes:
        course: the steps, as they are taken.
        after: what is done after each.
    """

    course: Course
    after: AfterStep
    _plan: Plan
    _autocast_dtype: torch.dtype | None
    _unfreezing: Unfreezing | None = None
    _norm: float = 0.0

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Transformers' own, or one with a group for every rate; everything is trainable yet."""
        trained = self.model if model is None else model
        if self._plan.unfreeze_every_steps:
            every = self._plan.unfreeze_every_steps
            self._unfreezing = Unfreezing.of(trained, every_steps=every)
        groups = layers.rates(trained, self._plan, decayed=self.get_decay_parameter_names(trained))
        if groups is not None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            self.optimizer = kind(groups, **options)
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The plan's schedule without the two rates of zero that stand at its ends.

        Transformers starts to warm up from 0 and decays to 0, so the first of thirty steps would
        compute a gradient for nothing.
        """
        scheduler = super().create_scheduler(self.course.planned + 1, optimizer)
        schedules.steer(
            scheduler,
            self._plan,
            steps=self.course.planned,
            position=lambda: self.course.position,
            factor=lambda: self.after.rate_factor,
        )
        return scheduler

    def floating_point_ops(self, inputs: object) -> int:
        """Nobody asks, and counting costs time."""
        return 0

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        self._norm = float(norm)
        return norm

    def _precision(self) -> AbstractContextManager[object]:
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.args.device.type, dtype=self._autocast_dtype)

    def _send_telemetry(self) -> None:
        """No word of it leaves the machine, whatever the environment says."""
