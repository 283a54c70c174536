"""The layers of a model, counted from the bottom, and what depends on which of them a weight is in.

Works for any causal language model that is made of a list of like blocks, whatever its author
called them. Knows no data and no objective.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

from feedback.errors import Invalid
from trainer.settings import Plan


def blocks(model: Any) -> tuple[str, list[nn.Module]]:
    """The model's blocks from bottom to top, and the name of the list they are in.

    Args:
        model: a transformers model, with or without an adapter.

    Raises:
        Invalid: there is no list of as many blocks as the config says.
    """
    count = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, list(module)
    raise Invalid(
        f"This base model has no list of its {count} layers, so they cannot be told apart. Set "
        "layer_decay and trained_layers_share to 1, and unfreeze_every_steps to 0.",
        param="base_model",
    )


def first_trained(layers: int, share: float) -> int:
    """Number of the lowest layer that learns where the top `share` of so many layers does."""
    return layers - max(1, round(share * layers))


def level(name: str, *, prefix: str, layers: int) -> int:
    """The layer that a parameter is in; what is in none counts as the top, next to the head."""
    if not name.startswith(f"{prefix}."):
        return layers - 1
    return int(name.removeprefix(f"{prefix}.").partition(".")[0])


def by_level(model: Any) -> list[list[nn.Parameter]]:
    """The weights that learn, by layer from bottom to top.

    Raises:
        Invalid: as `blocks`.
    """
    prefix, found = blocks(model)
    levels: list[list[nn.Parameter]] = [[] for _ in found]
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            levels[level(name, prefix=prefix, layers=len(found))].append(weight)
    return levels


def linear_names(model: Any, *, first: int) -> list[str]:
    """Names of the linear modules in the layers from `first` up, as PEFT's `all-linear` has them.

    Raises:
        Invalid: as `blocks`.
    """
    from transformers.pytorch_utils import Conv1D

    prefix, found = blocks(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and name.startswith(f"{prefix}.")
        and level(name, prefix=prefix, layers=len(found)) >= first
    ]


def transposed(model: Any) -> bool:
    """Whether the model's linear layers are of GPT-2's kind, which keep their weights transposed."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())


def train_from(model: Any, first: int) -> None:
    """Freeze what learns below layer `first`.

    Raises:
        Invalid: as `blocks`, or nothing is left that learns.
    """
    levels = by_level(model)
    for weight in (weight for weights in levels[:first] for weight in weights):
        weight.requires_grad_(False)
    if not any(levels[first:]):
        raise Invalid(
            f"The adapter has no weights in layer {first} or above, so nothing could learn. Raise "
            "trained_layers_share.",
            param="trained_layers_share",
        )


def rates(model: Any, plan: Plan, *, decayed: Iterable[str]) -> list[dict[str, Any]] | None:
    """Parameter groups for the optimizer, or None where all weights learn at one rate.

    Layer-wise decay: ULMFiT's discriminative fine-tuning, Howard and Ruder 2018,
    https://arxiv.org/abs/1801.06146, section 3.2; a layer's rate is lr·d^(L−1−i). LoRA+: Hayou,
    Ghosh and Yu 2024, https://arxiv.org/abs/2402.12354; B learns faster than A. A schedule scales
    all groups alike, so the ratios stay. The first group has the plan's own rate.

    Args:
        model: what is trained.
        plan: with the ratios.
        decayed: names of the parameters that weight decay applies to.

    Raises:
        Invalid: as `blocks`.
    """
    if plan.layer_decay == 1 and plan.lora_plus_ratio == 1:
        return None
    names = set(decayed)
    prefix, found = blocks(model) if plan.layer_decay < 1 else ("", [])
    groups: dict[tuple[int, float, float], dict[str, Any]] = {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        at = level(name, prefix=prefix, layers=len(found)) if found else 0
        below = len(found) - 1 - at if found else 0
        ratio = plan.lora_plus_ratio if ".lora_B." in name else 1.0
        decay = plan.weight_decay if name in names else 0.0
        group = groups.setdefault(
            (below, ratio, decay),
            {
                "params": [],
                "lr": plan.learning_rate * plan.layer_decay**below * ratio,
                "weight_decay": decay,
                "layer": at,
            },
        )
        group["params"].append(weight)
    # A before B: the rate that is reported is the first group's.
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], key[1] != 1.0, -key[2]))]
