"""Elastic weight consolidation over the product BA: what old material needs is held in place.

Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks",
https://arxiv.org/abs/1612.00796, equation 3. The penalty λ/2 · Σ F (sBA − sB₀A₀)² is over the
product, which is what the model sees, and not over A and B: the same product has many factors, and
holding each of them would forbid changes that change nothing. F is the diagonal Fisher information
of W + sBA, estimated from old rows with their own answers as the labels.

Knows no optimizer and no schedule.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from feedback.errors import Invalid
from trainer.batches import branch_log_probs, collate
from trainer.rows import Row
from trainer.settings import Plan

# More rows than this hardly change a mean over rows (Kirkpatrick et al. used a minibatch).
_MOST_ROWS = 256


class Anchor:
    """Where the adapter was when the round began, and how firmly each weight is held there."""

    def __init__(self, layers: Sequence["_Held"], weight: float) -> None:
        self._layers = layers
        self._weight = weight

    def pull(self, products: Mapping[int, Tensor]) -> float:
        """Add the penalty's gradient to what a step has gathered, and return the penalty.

        Args:
            products: the gradient of W + sBA by the id of the layer's A, changed in place. A layer
                that is not in it is given its share at A.grad and B.grad; one that has no gradient
                at all does not learn now and is left alone.
        """
        penalty = 0.0
        for layer in self._layers:
            slope = products.get(id(layer.down))
            if slope is None and layer.down.grad is None:
                continue
            moved = layer.product() - layer.start
            force = self._weight * layer.fisher * moved
            penalty += float((force * moved).sum()) / 2
            if slope is not None:
                slope.add_(force)
                continue
            for factor, share in (
                (layer.down, layer.up.detach().T @ force),
                (layer.up, force @ layer.down.detach().T),
            ):
                if factor.grad is not None:
                    factor.grad.add_(share, alpha=layer.scale)
        return penalty


def anchor(
    model: Any,
    rows: Sequence[Row],
    plan: Plan,
    *,
    share: bool,
    before_each: Callable[[], None],
) -> Anchor | None:
    """Estimate what the old rows need, and hold the adapter there; None where nothing is held.

    Args:
        model: a PEFT model with one active adapter, in evaluation mode.
        rows: of the round; those that are not new count.
        plan: with λ, and the seed of the choice where there are many.
        share: whether branches share their prompt in one line.
        before_each: called before every row; may raise to stop.

    Raises:
        Invalid: the adapter is no plain product.
    """
    old = [row for row in rows if row.source != "new" and (row.kind != "verdict" or row.liked)]
    if not plan.ewc_weight or not old:
        return None
    if len(old) > _MOST_ROWS:
        old = random.Random(f"{plan.seed}/ewc").sample(old, _MOST_ROWS)
    found = [_Held(module) for module in _adapted(model)]
    device = next(model.parameters()).device
    for row in old:
        before_each()
        # The answer that was shown, preferred or liked: what should still be said.
        alone = Row("demonstration", row.prompt, row.branches[:1])
        _measure(model, found, collate([alone], share=share).to(device), of=len(old))
    return Anchor(found, plan.ewc_weight)


def _measure(model: Any, layers: Sequence["_Held"], batch: Any, *, of: int) -> None:
    """Add one row's squared gradients by the products, g xᵀ summed over its tokens."""
    handles = [layer.module.register_forward_hook(layer.remember) for layer in layers]
    try:
        said = branch_log_probs(model, batch).sum()
    finally:
        for handle in handles:
            handle.remove()
    learning = [layer for layer in layers if layer.output is not None]
    slopes = torch.autograd.grad(
        said, [layer.output for layer in learning if layer.output is not None], allow_unused=True
    )
    for layer, slope in zip(learning, slopes, strict=True):
        if slope is not None and layer.input is not None:
            wide = slope.flatten(0, -2).float().T @ layer.input.flatten(0, -2).float()
            layer.fisher += wide.square() / of
        layer.input = layer.output = None


def _adapted(model: Any) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    found = []
    for module in model.modules():
        if not isinstance(module, LoraLayer):
            continue
        name = module.active_adapters[0]
        if name in module.lora_variant or name not in module.lora_A:
            raise Invalid(
                "Elastic weight consolidation holds the product BA, and this adapter is none "
                "(DoRA, or LoRA on embeddings). Set trainer.ewc_weight to 0.",
                param="ewc_weight",
            )
        if module.lora_A[name].weight.requires_grad:
            found.append(module)
    return found


class _Held:
    """One adapted layer: its factors, where their product was, and its Fisher information."""

    def __init__(self, module: Any) -> None:
        name = module.active_adapters[0]
        self.module: nn.Module = module
        self.down: nn.Parameter = module.lora_A[name].weight
        self.up: nn.Parameter = module.lora_B[name].weight
        self.scale: float = module.scaling[name]
        self.start = self.product()
        self.fisher = torch.zeros_like(self.start)
        self.input: Tensor | None = None
        self.output: Tensor | None = None

    def product(self) -> Tensor:
        """The update sBA (out, in)."""
        return (self.up.detach() @ self.down.detach()) * self.scale

    def remember(self, _module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        if result.requires_grad:
            self.input, self.output = given[0].detach(), result
