"""What one preference or one verdict costs: noise of its label and length of its answers minded.

Per-row arithmetic on log-probabilities that others computed. Knows no model, no weight of a row
and no denominator.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from trainer.batches import (
    Batch,
    branch_log_probs,
    log_probs_of,
    split_log_probs,
    split_log_probs_of,
)
from trainer.rows import Row
from trainer.settings import Plan

Loss = Literal["sigmoid", "conservative", "robust", "ipo"]
LengthControl = Literal["off", "desensitised", "normalised", "penalty"]
# The robust loss divides by 1 − 2ε: where as much is wrong as right, nothing can be learned.
MOST_NOISE = 0.45


@dataclass(frozen=True)
class Form:
    """Which loss preferences have, and how their labels' noise and their lengths are minded.

    Attributes:
        loss: of a preference; `conservative` and `robust` also mind the noise of verdicts.
        noise: ε of every row; None takes each row's own.
        length_control: what is done against length.
        length_strength: how strongly; 0 is not at all.
    """

    loss: Loss = "sigmoid"
    noise: float | None = None
    length_control: LengthControl = "off"
    length_strength: float = 0.0

    @classmethod
    def of(cls, plan: Plan) -> "Form":
        """The form that a plan asks for."""
        length_control: LengthControl = plan.length_control if plan.length_strength else "off"
        return cls(
            loss=plan.preference_loss,
            noise=None if isinstance(plan.label_noise, str) else plan.label_noise,
            length_control=length_control,
            length_strength=plan.length_strength if length_control != "off" else 0.0,
        )

    @property
    def splits(self) -> bool:
        """Whether it asks for log-probabilities beyond the shorter answer."""
        return self.length_control == "desensitised"

    def log_probs(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities (branches,), and what of them the form wants apart, if anything."""
        return (
            split_log_probs(model, batch) if self.splits else (branch_log_probs(model, batch), None)
        )

    def log_probs_of(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The same from `answer_logits` (S, vocabulary)."""
        return (
            split_log_probs_of(logits, batch)
            if self.splits
            else (log_probs_of(logits, batch), None)
        )


DPO = Form()
"""Plain DPO."""


def margins(
    chosen: Tensor,
    rejected: Tensor,
    rows: Sequence[Row],
    *,
    form: Form,
    beyond: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """How much more than the reference the model prefers the chosen answers, in nats, (n,).

    - ``desensitised``: tokens beyond the shorter answer count 1 − strength. LD-DPO, Liu et al.
      2024, https://arxiv.org/abs/2409.06411, whose α is 1 − strength.
    - ``normalised``: each answer's log-ratio is divided by its length to the power of the
      strength; at 1 it is the mean per token, as in Lambert et al. 2024,
      https://arxiv.org/abs/2411.15124, section 5.
    - ``penalty`` is part of the loss, not of the margin.

    IPO's margin is per token in any case, as its authors meant it and TRL has it.

    Args:
        chosen: (n,) log-probabilities from the model in training.
        rejected: (n,) the same of the rejected answers.
        rows: the n preferences, with references.
        form: what is done against length.
        beyond: what of `chosen` and `rejected` stands beyond the shorter answer.
    """
    power = form.length_strength if form.length_control == "normalised" else 0.0
    if form.loss == "ipo":
        power = 1.0
    if not power and not form.splits:
        reference = chosen.new_tensor([row.reference[0] - row.reference[1] for row in rows])
        return chosen - rejected - reference
    ratios = []
    for branch, log_probs in enumerate((chosen, rejected)):
        ratio = log_probs - chosen.new_tensor([row.reference[branch] for row in rows])
        if form.splits and beyond is not None:
            tail = chosen.new_tensor([row.reference_beyond[branch] for row in rows])
            ratio = ratio - form.length_strength * (beyond[branch] - tail)
        lengths = chosen.new_tensor([float(len(row.branches[branch])) for row in rows])
        ratios.append(ratio / lengths**power if power else ratio)
    return ratios[0] - ratios[1]


def preference_losses(
    margin: Tensor, rows: Sequence[Row], *, beta: float, form: Form = DPO
) -> Tensor:
    """The loss of each preference (n,).

    - ``sigmoid``: DPO, Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equation 7.
    - ``conservative``: (1 − ε)·L + ε·L⁻, where L⁻ is the loss of the flipped pair. Mitchell 2023,
      https://ericmitchell.ai/cdpo.pdf, equation 1: the margin stops where the model is as sure as
      the label deserves.
    - ``robust``: ((1 − ε)·L − ε·L⁻) / (1 − 2ε), whose mean over flips is L. Chowdhury, Kini and
      Natarajan 2024, https://arxiv.org/abs/2403.00409, equation 12. It has no lower bound.
    - ``ipo``: (margin − 1/(2β))². Azar et al. 2023, https://arxiv.org/abs/2310.12036, equation 17.

    With the length penalty, ``strength · (|chosen| − |rejected|)`` is added to β · margin: what
    length explains need not be learned. R-DPO, Park et al. 2024,
    https://arxiv.org/abs/2403.19159, section 4; derived from a reward that falls with length.

    Args:
        margin: (n,) from `margins`.
        rows: the n preferences.
        beta: β; with IPO its τ.
        form: which loss.
    """
    if form.length_control == "penalty":
        longer = [float(len(row.branches[0]) - len(row.branches[1])) for row in rows]
        margin = margin + form.length_strength / beta * margin.new_tensor(longer)
    if form.loss == "ipo":
        return (margin - 1 / (2 * beta)) ** 2
    each = -functional.logsigmoid(beta * margin)
    if form.loss == "sigmoid":
        return each
    return _minding_noise(each, -functional.logsigmoid(-beta * margin), rows, form)


def verdict_losses(each: Tensor, rows: Sequence[Row], *, form: Form = DPO) -> Tensor:
    """KTO's losses (n,) with the chance that a verdict was flipped.

    A verdict's loss and that of its opposite add up to 1, so minding noise comes to weighing rows:
    by 1 − 2ε (conservative) or by its inverse (robust). Losses with such a sum tolerate even noise
    as they are (Ghosh, Kumar and Sastry 2017, https://arxiv.org/abs/1712.09482).
    """
    if form.loss not in ("conservative", "robust"):
        return each
    return _minding_noise(each, 1 - each, rows, form)


def _minding_noise(each: Tensor, flipped: Tensor, rows: Sequence[Row], form: Form) -> Tensor:
    noise = [row.noise if form.noise is None else form.noise for row in rows]
    share = torch.tensor(noise, dtype=each.dtype, device=each.device).clamp(max=MOST_NOISE)
    if form.loss == "conservative":
        return (1 - share) * each + share * flipped
    return ((1 - share) * each - share * flipped) / (1 - 2 * share)
