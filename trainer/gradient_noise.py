"""How much of a step's gradient is noise, measured from random parts of the step.

Knows no objective and no schedule. Norms are those of the weights that are trained, not of the
products that folded layers are computed with.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.dynamic import NoiseScale
from trainer.folded_lora import Folded

Gradients = Sequence[Tensor | None]


def measure(
    noise: NoiseScale, parts: Sequence[Gradients], folded: Folded | None, *, tokens: Sequence[int]
) -> None:
    """Add the measure of one step.

    Args:
        noise: takes it.
        parts: what each part contributes: gradients of the folded products, then of other weights.
        folded: the folded layers, if any.
        tokens: in each part.
    """
    whole = [_sum(each) for each in zip(*parts, strict=True)]
    noise.add(
        _squared_norm(whole, folded),
        [_squared_norm(part, folded) for part in parts],
        shares=[count / sum(tokens) for count in tokens],
        tokens=sum(tokens),
    )


def _sum(gradients: Gradients) -> Tensor | None:
    known = [each for each in gradients if each is not None]
    return torch.stack(known).sum(0) if known else None


def _squared_norm(gradients: Gradients, folded: Folded | None) -> float:
    products = folded.products if folded else []
    own: list[Tensor | None] = list(gradients[len(products) :])
    reached = [(p, g) for p, g in zip(products, gradients, strict=False) if g is not None]
    if folded and reached:
        own += torch.autograd.grad(
            [p for p, _ in reached],
            folded.parameters,
            [g for _, g in reached],
            retain_graph=True,
            allow_unused=True,
        )
    return sum(float(each.double().square().sum()) for each in own if each is not None)
