"""The model as a training starts from it: base, adapter, and what to compute in.

Knows no rows and no objective.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from feedback.errors import Invalid
from trainer import adapter_folder, base_model, faults, fused_head, hardware
from trainer.base_model import BaseModel
from trainer.settings import Plan

# Below this size casts cost more than bf16 gains on a CPU (measured on the starter model).
_SMALL_PARAMETERS = 100_000_000


def load(
    plan: Plan, base_folder: Path, parent: Path | None
) -> tuple[BaseModel, Any, torch.dtype | None]:
    """The base model, the same with the adapter to train, and what to compute in."""
    base = base_model.load(base_folder, dtype=torch.float32)
    computed_in = autocast(plan, base.parameters)
    if computed_in is not None:
        base.model.to(computed_in)  # frozen, so nothing is lost by keeping it as it is computed
    if fused_head.applies():
        fused_head.install(base.model)
    if parent is None:
        model = adapter_folder.fresh(base.model, plan)
    else:
        model = _continued(base.model, parent, plan)
    adapter_folder.learn_on_top(model, plan.trained_layers_share)
    return base, model, computed_in


def _continued(base: Any, parent: Path, plan: Plan) -> Any:
    """The model with its parent's adapter.

    Raises:
        Invalid: the adapter was made for another base model, or is none.
    """
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

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


def autocast(plan: Plan, parameters: int) -> torch.dtype | None:
    """What to compute in; None is fp32, which is also `auto` where bf16 would not be faster."""
    if plan.precision == "bf16":
        return torch.bfloat16
    if plan.precision == "fp32":
        return None
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    native = hardware.has_native_bf16() and parameters >= _SMALL_PARAMETERS
    return torch.bfloat16 if native else None
