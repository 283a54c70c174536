"""What the model says of the rows before it learns: the reference of DPO and KTO.

Knows no trainer. Values that are remembered are not computed again.
"""

from collections.abc import Callable
from typing import Any

from trainer import base_model, batches, packing, preference_losses
from trainer.distributed import Group
from trainer.references import References
from trainer.rows import Row
from trainer.settings import Plan


def refer(
    model: Any,
    encoded: list[Row],
    watched: list[Row],
    plan: Plan,
    stop_if_asked: Callable[[], None],
    *,
    exact: bool,
    group: Group | None,
    known: References | None,
) -> bool:
    """Fill in the references, and say whether the model can share prompts between branches."""
    model.eval()
    eased = packing.eases(plan)
    judged = [
        row for row in encoded if row.kind != "demonstration" or (eased and row.source == "new")
    ]
    judged_dev = [row for row in watched if row.kind != "demonstration"]
    forked = next((row for row in (*judged, *judged_dev) if len(row.branches) > 1), None)
    share = forked is None or batches.shares_prompts(
        model, forked, tolerance=1e-3 if exact else 5e-2
    )
    splits = preference_losses.Form.of(plan).splits
    if splits:
        group = known = None  # what stands beyond the shorter answer is neither told nor kept
    precision = f"{base_model.device().type} {'fp32' if exact else 'bf16'}"
    if group is not None:
        missing = group.own(judged)  # what one process remembers, the others might not
    else:
        missing = judged if known is None else known.recall(judged, precision=precision)
    for rows_ in (missing, judged_dev):
        batches.fill_references(
            model,
            rows_,
            budget_tokens=plan.forward_tokens,
            share=share,
            before_each=stop_if_asked,
            split=splits,
        )
    if group is not None:
        group.tell_references(judged, next(model.parameters()).device)
    if known is not None:
        known.keep(judged, precision=precision)
    return share
