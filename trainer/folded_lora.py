"""LoRA computed as one product where the matrices are small: x(W + sBA)ᵀ, not xWᵀ + s(xAᵀ)Bᵀ.

The same function of the same parameters, and so the same gradients. On a model of a few million
parameters a rank of 32 is a sixth of the width: three products per layer, two of them thin, take
longer than one. Knows no objective, no data and no trainer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, addmm, nn, no_grad
from torch.nn import functional

# One more product pays while in·out / (in + out) stays below so many ranks: by operations 3,
# and thin products reach half the speed of square ones (measured on a CPU).
_WORTH_RANKS = 6


@contextmanager
def folded(model: Any, *, frozen: bool = False) -> Iterator[int]:
    """Compute the adapter of a PEFT model that way, where it pays; yields in how many layers.

    Layers with dropout on the adapter's input, and all but plain LoRA on plain linear layers, stay
    as they are. Use it in fp32 only: rounded to bf16, W + sBA would swallow small updates.

    Args:
        model: a PEFT model with one active adapter.
        frozen: the weights stay as they are meanwhile, so that the products are computed once.
    """
    layers = [m for m in model.modules() if _worthwhile(m)]
    for layer in layers:
        layer.forward = _fold(layer, layer.active_adapters[0], frozen)
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def _worthwhile(module: nn.Module) -> bool:
    from peft.tuners.lora import Linear

    layer: Any = module
    if type(layer) is not Linear or type(layer.base_layer) is not nn.Linear:
        return False
    if len(layer.active_adapters) != 1 or layer.disable_adapters or layer.merged:
        return False
    name = layer.active_adapters[0]
    if name not in layer.lora_A or name in layer.lora_variant:
        return False
    if layer.lora_bias[name] or not isinstance(layer.lora_dropout[name], nn.Identity):
        return False
    wide, deep = layer.base_layer.in_features, layer.base_layer.out_features
    return bool(wide * deep < _WORTH_RANKS * layer.r[name] * (wide + deep))


def _fold(layer: Any, name: str, frozen: bool) -> Callable[..., Tensor]:
    base = layer.base_layer
    down, up, scale = layer.lora_A[name], layer.lora_B[name], layer.scaling[name]

    def product() -> Tensor:
        return addmm(base.weight, up.weight, down.weight, alpha=scale)

    def forward(x: Tensor, *_args: object, **_kwargs: object) -> Tensor:
        return functional.linear(x, product() if kept is None else kept, base.bias)

    kept = None
    if frozen:
        with no_grad():
            kept = product()
    return forward
