"""How the learning rate runs over a round: names of the plan, as the Trainer takes them. Pure.

Knows no torch. What Transformers brings is used as it is; the triangle is ours.
"""

from collections.abc import Callable
from typing import Any

from trainer.settings import Plan

# Smith takes a third or a quarter of the highest rate for the lowest.
_FLOOR = 0.25


def arguments(plan: Plan) -> dict[str, Any]:
    """Return what `TrainingArguments` are told of the plan's schedule."""
    if plan.lr_schedule == "cosine_with_restarts":
        cycles = {"num_cycles": plan.lr_cycles}
        return {"lr_scheduler_type": plan.lr_schedule, "lr_scheduler_kwargs": cycles}
    if plan.lr_schedule == "triangular":
        return {"lr_scheduler_type": "constant"}  # `own` takes its place
    return {"lr_scheduler_type": plan.lr_schedule}


def own(plan: Plan, steps: int) -> Callable[[float], float] | None:
    """Return a schedule that Transformers does not know: step → share of the peak rate, or None.

    Args:
        plan: names it.
        steps: how many are taken, numbered from 1.
    """
    if plan.lr_schedule != "triangular":
        return None
    return lambda step: triangular(step, steps=steps, cycles=plan.lr_cycles)


def steer(
    scheduler: Any,
    plan: Plan,
    *,
    steps: int,
    position: Callable[[], float],
    factor: Callable[[], float],
) -> None:
    """Have a `LambdaLR` follow how much of the plan is done, not how often it was called.

    A step may be larger or smaller than planned. The first is taken at the rate of step 1, since at
    step 0 it would compute a gradient for nothing.

    Args:
        scheduler: as Transformers made it for one step more than there are.
        plan: names the schedule.
        steps: planned.
        position: how many of them are done.
        factor: what every rate is multiplied with, at the moment.
    """
    shape = own(plan, steps)

    def now(rate: Callable[[float], float]) -> Callable[[int], float]:
        return lambda _step: factor() * rate(position() + 1)

    scheduler.lr_lambdas = [now(shape or rate) for rate in scheduler.lr_lambdas]
    set_rates(scheduler)


def set_rates(scheduler: Any) -> None:
    """Have the next step taken at the rate that holds now."""
    for group, base, rate in zip(
        scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True
    ):
        group["lr"] = base * rate(scheduler.last_epoch)
    scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]


def triangular(step: float, *, steps: int, cycles: int) -> float:
    """Share of the peak rate at a step: up and down in straight lines, so many times.

    Smith 2017, "Cyclical learning rates for training neural networks",
    https://arxiv.org/abs/1506.01186, section 3.1. It warms up by itself.

    Args:
        step: from 1 to `steps`.
        steps: in all.
        cycles: ascents.
    """
    phase = cycles * step / (steps + 1) % 1.0
    return _FLOOR + (1 - _FLOOR) * (1 - abs(2 * phase - 1))
