"""Rearranged weights give the same products, and layers that cannot be rearranged stay as they are."""

from typing import Any

import pytest
import torch
from torch import nn

from serving.engines import packed_linear
from serving.engines.packed_linear import pack


class Little(nn.Module):
    """An embedding, two layers and a head that shares the embedding's weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = nn.Embedding(24, 16)
        self.wide = nn.Linear(16, 40)
        self.narrow = nn.Linear(40, 16, bias=False)
        self.head = nn.Linear(16, 24, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.narrow(self.wide(self.embedding(ids)).relu()))
        return found


@pytest.fixture
def small_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "_LEAST_WEIGHTS", 1)


@pytest.mark.usefixtures("small_layers_too")
@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 7), (16, 1), (2, 40)])
def test_products_stay_the_same(shape: tuple[int, ...]) -> None:
    model = Little().eval()
    ids = torch.arange(torch.Size(shape).numel()).reshape(shape) % 24
    with torch.inference_mode():
        expected = model(ids)
        assert pack(model) == 3
        torch.testing.assert_close(model(ids), expected, rtol=1e-5, atol=1e-5)
        assert pack(model) == 0  # nothing is left to do


@pytest.mark.usefixtures("small_layers_too")
def test_plain_weights_make_room_and_nobody_computes_with_what_is_left_of_them() -> None:
    model = Little().eval()
    embedded = model.embedding.weight.clone()
    pack(model)
    assert model.wide.weight.shape == (40, 16)
    assert model.wide.weight.untyped_storage().nbytes() == 4
    assert model.wide.weight.isnan().all()
    assert torch.equal(model.embedding.weight, embedded)


@pytest.mark.usefixtures("small_layers_too")
def test_a_hook_on_a_rearranged_layer_still_adds_to_its_output() -> None:
    layer = nn.Linear(8, 8).eval()
    x = torch.randn(2, 8)
    with torch.inference_mode():
        expected = layer(x) + 1
        assert pack(layer) == 1
        layer.register_forward_hook(lambda _layer, _inputs, output: output + 1)
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_leaves_small_layers_and_other_types_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pack(nn.Linear(16, 16)) == 0
    monkeypatch.setattr(packed_linear, "_LEAST_WEIGHTS", 1)
    assert pack(nn.Linear(16, 16, dtype=torch.bfloat16)) == 0


@pytest.mark.usefixtures("small_layers_too")
@pytest.mark.parametrize("fault", ["missing", "wrong"])
def test_stays_plain_where_the_operator_fails(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Operators:
        @staticmethod
        def _reorder_linear_weight(weight: torch.Tensor, rows: int) -> torch.Tensor:
            return weight

        @staticmethod
        def _linear_pointwise(x: torch.Tensor, weight: torch.Tensor, *_: Any) -> torch.Tensor:
            if fault == "missing":
                raise NotImplementedError("no such operator here")
            return x @ weight.t() + 0.1

    monkeypatch.setattr(torch.ops, "mkldnn", Operators)
    layer = nn.Linear(8, 8)
    weight = layer.weight.clone()
    assert pack(layer) == 0
    assert torch.equal(layer.weight, weight)
    assert "forward" not in vars(layer)
