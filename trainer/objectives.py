"""The three objectives of a round, each a sum over its rows divided by one denominator.

Knows no model and no trainer: log-probabilities of branches come in, losses go out. The
denominators are those of a whole step, so that cutting a step into batches changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.batches import Batch
from trainer.examples import Kind
from trainer.preference_losses import DPO, Form, margins, preference_losses, verdict_losses
from trainer.rows import Row
from trainer.settings import Plan

# Iterative RPO's α: how much the likelihood of the preferred answer counts beside the margin.
NLL_SHARE = 1.0


@dataclass(frozen=True)
class Denominators:
    """What each objective of one step is divided by."""

    answer_tokens: int
    preferences: int
    verdicts: int
    replayed_tokens: int = 0


def denominators(rows: Sequence[Row]) -> Denominators:
    """Answer tokens of the demonstrations, of those that are replayed, and counts of the others."""
    return Denominators(
        answer_tokens=sum(len(r.branches[0]) for r in rows if r.kind == "demonstration"),
        preferences=sum(r.kind == "preference" for r in rows),
        verdicts=sum(r.kind == "verdict" for r in rows),
        replayed_tokens=sum(len(r.branches[0]) for r in rows if is_replayed(r)),
    )


def is_replayed(row: Row) -> bool:
    """Whether a row is there to be kept and not to be learned."""
    return row.kind == "demonstration" and row.source != "new"


def objective_weights(plan: Plan) -> dict[Kind, float]:
    """λ of each objective."""
    return {
        "demonstration": plan.demonstration_weight,
        "preference": plan.preference_weight,
        "verdict": plan.verdict_weight,
    }


def losses(
    log_probs: Tensor,
    batch: Batch,
    over: Denominators,
    *,
    beta: float,
    nll_share: float,
    form: Form = DPO,
    beyond: Tensor | None = None,
) -> dict[Kind, Tensor]:
    """The loss of each objective that the batch holds.

    Args:
        log_probs: (branches,) from the model in training, in nats.
        batch: where they come from.
        over: the step's denominators.
        beta: β of DPO and KTO.
        nll_share: α of Iterative RPO.
        form: what a preference costs, and how noise is minded.
        beyond: (branches,) what of the log-probabilities stands beyond the shorter answer of a
            preference, where the form asks for it.
    """
    found: dict[Kind, Tensor] = {}
    members: dict[Kind, list[int]] = {"demonstration": [], "preference": [], "verdict": []}
    for at, row in enumerate(batch.rows):
        members[row.kind].append(at)
    if at_demonstrations := members["demonstration"]:
        found["demonstration"] = _demonstrations(log_probs, batch, at_demonstrations, over)
    if at_preferences := members["preference"]:
        found["preference"] = _preferences(
            log_probs,
            batch,
            at_preferences,
            over,
            beta=beta,
            nll_share=nll_share,
            form=form,
            beyond=beyond,
        )
    if at_verdicts := members["verdict"]:
        found["verdict"] = _verdicts(log_probs, batch, at_verdicts, over, beta=beta, form=form)
    return found


def _demonstrations(log_probs: Tensor, batch: Batch, at: list[int], over: Denominators) -> Tensor:
    """Next-token loss on answers, averaged over the step's answer tokens."""
    answers = log_probs[[batch.first[i] for i in at]]
    weight = log_probs.new_tensor([batch.rows[i].weight for i in at])
    return -(answers * weight).sum() / over.answer_tokens


def _preferences(
    log_probs: Tensor,
    batch: Batch,
    at: list[int],
    over: Denominators,
    *,
    beta: float,
    nll_share: float,
    form: Form,
    beyond: Tensor | None,
) -> Tensor:
    """DPO, or what the form puts in its place, with the likelihood of the preferred answer beside it.

    DPO: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equation 7. The term in the
    likelihood, per token of the answer: Iterative RPO, Pang et al. 2024,
    https://arxiv.org/abs/2404.19733, equation 2; without it the preferred answer may become less
    likely, too.
    """
    rows = [batch.rows[i] for i in at]
    chosen = log_probs[[batch.first[i] for i in at]]
    rejected = log_probs[[batch.first[i] + 1 for i in at]]
    weight = log_probs.new_tensor([row.weight for row in rows])
    tokens = log_probs.new_tensor([float(len(row.branches[0])) for row in rows])
    tails = None
    if beyond is not None:
        tails = beyond[[batch.first[i] for i in at]], beyond[[batch.first[i] + 1 for i in at]]
    margin = margins(chosen, rejected, rows, form=form, beyond=tails)
    each = preference_losses(margin, rows, beta=beta, form=form)
    each = each - nll_share * chosen / tokens
    return (each * weight).sum() / over.preferences


def _verdicts(
    log_probs: Tensor, batch: Batch, at: list[int], over: Denominators, *, beta: float, form: Form
) -> Tensor:
    """KTO: Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306, equation 7.

    The divergence from the reference is estimated from the mismatched answers of the batch, as in
    TRL, and is zero where there is none.
    """
    rows = [batch.rows[i] for i in at]
    ratio = log_probs[[batch.first[i] for i in at]]
    ratio = ratio - log_probs.new_tensor([row.reference[0] for row in rows])
    divergence = log_probs.new_zeros(())
    if paired := [i for i in at if len(batch.rows[i].branches) > 1]:
        mismatched = log_probs.detach()[[batch.first[i] + 1 for i in paired]]
        mismatched = mismatched - log_probs.new_tensor([batch.rows[i].reference[1] for i in paired])
        divergence = mismatched.mean().clamp(min=0)
    sign = log_probs.new_tensor([1.0 if row.liked else -1.0 for row in rows])
    weight = log_probs.new_tensor([row.weight for row in rows])
    each = 1 - torch.sigmoid(beta * sign * (ratio - divergence))
    each = verdict_losses(each, rows, form=form)
    return (each * weight).sum() / over.verdicts
