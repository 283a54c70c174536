"""Weights laid out the way the CPU's matrix kernels read them, once and not at every product (torch).

For a handful of rows a plain product spends a third to half of its time on rearranging the weight
matrix. oneDNN takes one that is arranged already; torch's compiler uses the same two operators.
Numbers differ in the last bits only, since sums run in another order. Knows nothing of adapters,
which hang on the layers' outputs.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

log = logging.getLogger("heed.engine")

_LEAST_WEIGHTS = 2**18
"""Below this a product is shorter than what calling the operator costs (measured)."""
_ROWS = 16
"""Rows that the layout is made for; it holds for any number."""


def pack(model: nn.Module) -> int:
    """Rearrange the large Linear layers of a model for inference, in place.

    The rearranged weights take the place of the plain ones, so that memory does not double; a head
    that shares its weights with the embedding keeps both. Where anything stands against it (no
    oneDNN, a GPU, another type than fp32, results that differ), layers stay as they are.

    Returns:
        The number of layers rearranged.
    """
    packed = 0
    for module in model.modules():
        if type(module) is nn.Linear and _can_be(module):
            try:
                packed += _pack(module)
            except (RuntimeError, AttributeError) as error:
                log.info("plain matrix products, for others fail: %s", str(error).split("\n")[0])
                return packed
    return packed


def _can_be(linear: nn.Linear) -> bool:
    weight = linear.weight
    onednn: Any = torch.backends.mkldnn
    return bool(
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and weight.numel() >= _LEAST_WEIGHTS
        and onednn.is_available()
        and onednn.enabled
        and "forward" not in vars(linear)
    )


@torch.inference_mode()
def _pack(linear: nn.Linear) -> bool:
    arrange: Any = torch.ops.mkldnn._reorder_linear_weight
    multiply: Any = torch.ops.mkldnn._linear_pointwise
    weight, bias = linear.weight.detach(), linear.bias
    arranged = arrange(weight, _ROWS)

    def forward(x: Tensor) -> Tensor:
        found: Tensor = multiply(x, arranged, bias, "none", [], "")
        return found

    generator = torch.Generator().manual_seed(0)
    for rows in (1, _ROWS):
        x = torch.randn(rows, linear.in_features, generator=generator)
        if not torch.allclose(forward(x), functional.linear(x, weight, bias), rtol=1e-3, atol=1e-3):
            return False
    # Whoever still reads the plain weights gets their shape and type, and no wrong numbers.
    nothing = torch.full((1,), torch.nan).expand(weight.shape)
    linear.weight = nn.Parameter(nothing, requires_grad=False)
    vars(linear)["forward"] = forward
    return True
