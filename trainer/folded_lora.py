"""LoRA in fewer passes over memory: as one product where the matrices are small, x(W + sBA)ᵀ.

Elsewhere as xWᵀ + s(xAᵀ)Bᵀ, the last product added where the first one lies, where PEFT scales and
adds in passes of their own. The same function of the same parameters either way, and so the same
gradients. On a model of a few million parameters a rank of 32 is a sixth of the width: three products
per layer, two of them thin, take longer than one. Knows no objective, no data and no trainer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, addmm, nn, no_grad
from torch.nn import functional

# One more product pays while in·out / (in + out) stays below so many ranks: by operations 3,
# and thin products reach half the speed of square ones (measured on a CPU).
_WORTH_RANKS = 6


class Folded:
    """The folded layers of a model: W + sBA of each, as of the last `refresh`."""

    def __init__(self, layers: list["_Layer"]) -> None:
        self._layers = layers

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def trained(self) -> list["_Layer"]:
        """The layers whose A and B learn now."""
        return [layer for layer in self._layers if layer.product.requires_grad]

    @property
    def products(self) -> list[Tensor]:
        """W + sBA (out, in) of each of these layers; their gradients lead on to A and B."""
        return [layer.product for layer in self.trained]

    def by_factor(self, gradients: Sequence[Tensor | None]) -> dict[int, Tensor]:
        """The gradients of the products, by the id of their layer's A.

        Args:
            gradients: in the order of `products`; what follows them is not looked at.
        """
        pairs = zip(self.trained, gradients, strict=False)
        return {id(layer.down): gradient for layer, gradient in pairs if gradient is not None}

    @property
    def parameters(self) -> list[Tensor]:
        """A and B of each layer."""
        return [weight for layer in self._layers for weight in (layer.down, layer.up)]

    def refresh(self) -> None:
        """Multiply anew; to be called whenever A or B has changed."""
        for layer in self._layers:
            layer.refresh()


@contextmanager
def folded(model: Any, *, frozen: bool = False) -> Iterator[Folded]:
    """Compute the adapter of a PEFT model that way, where it pays; yields the layers it is done in.

    Layers with dropout on the adapter's input, and all but plain LoRA on plain linear layers, stay
    as they are; where it does not pay, the adapter's share is added in place. Use it in fp32 only:
    rounded to bf16, W + sBA would swallow small updates.

    Args:
        model: a PEFT model with one active adapter.
        frozen: the weights stay as they are meanwhile, and nobody asks for gradients.
    """
    plain = [module for module in model.modules() if _plain(module)]
    small = [module for module in plain if _worthwhile(module)]
    found = Folded([_Layer(module) for module in small])
    if frozen:
        with no_grad():
            found.refresh()
    else:
        found.refresh()
    for module in plain:
        module.forward = _Added(module).forward
    for module, layer in zip(small, found._layers, strict=True):
        module.forward = layer.forward
    try:
        yield found
    finally:
        for module in plain:
            del module.forward


class _Layer:
    """One linear layer with its adapter multiplied in."""

    def __init__(self, layer: Any) -> None:
        name = layer.active_adapters[0]
        self._base = layer.base_layer
        self.down, self.up = layer.lora_A[name].weight, layer.lora_B[name].weight
        self._scale = layer.scaling[name]
        self.product: Tensor = self._base.weight
        self._settled = False

    def refresh(self) -> None:
        if self._settled and not self.down.requires_grad:
            return  # frozen, and multiplied since
        self.product = addmm(self._base.weight, self.up, self.down, alpha=self._scale)
        self._settled = not self.down.requires_grad

    def forward(self, x: Tensor, *_args: object, **_kwargs: object) -> Tensor:
        return functional.linear(x, self.product, self._base.bias)


class _Added:
    """One linear layer whose adapter's share is added where the layer's own output lies."""

    def __init__(self, layer: Any) -> None:
        name = layer.active_adapters[0]
        self._layer = layer
        self._as_it_was = layer.forward
        self._down, self._up = layer.lora_A[name].weight, layer.lora_B[name].weight
        self._scale = layer.scaling[name]

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        if self._layer.disable_adapters:
            return self._as_it_was(x, *args, **kwargs)  # type: ignore[no-any-return]
        base, lines = self._layer.base_layer, x.flatten(0, -2)
        out = functional.linear(lines, base.weight, base.bias)
        out.addmm_(functional.linear(lines, self._down), self._up.t(), alpha=self._scale)
        return out.view(*x.shape[:-1], -1)


def _plain(module: nn.Module) -> bool:
    from peft.tuners.lora import Linear

    layer: Any = module
    if type(layer) is not Linear or type(layer.base_layer) is not nn.Linear:
        return False
    if len(layer.active_adapters) != 1 or layer.disable_adapters or layer.merged:
        return False
    name = layer.active_adapters[0]
    if name not in layer.lora_A or name in layer.lora_variant:
        return False
    return not layer.lora_bias[name] and isinstance(layer.lora_dropout[name], nn.Identity)


def _worthwhile(layer: Any) -> bool:
    name = layer.active_adapters[0]
    wide, deep = layer.base_layer.in_features, layer.base_layer.out_features
    return bool(wide * deep < _WORTH_RANKS * layer.r[name] * (wide + deep))
