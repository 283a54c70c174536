"""One product instead of three, or three in fewer passes, compute the same thing."""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainer import adapter_folder, base_model
from trainer.folded_lora import folded
from trainer.settings import Plan


def losses_and_gradients(model: Any) -> tuple[float, list[torch.Tensor]]:
    ids = torch.arange(40).reshape(2, 20)
    loss = model(input_ids=ids, labels=ids).loss
    model.zero_grad()
    loss.backward()
    return loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def with_adapter(folder: Path, *, rank: int = 4, **changes: Any) -> Any:
    base = base_model.load(folder, dtype=torch.float32)
    model = adapter_folder.fresh(base.model, Plan(rank=rank, alpha=2 * rank, **changes))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model


@pytest.mark.parametrize(("rank", "as_one"), [(4, 14), (1, 0)], ids=["folded", "added in place"])
def test_folding_changes_neither_loss_nor_gradient(
    tiny_model: Path, rank: int, as_one: int
) -> None:
    model = with_adapter(tiny_model, rank=rank)
    expected, gradients = losses_and_gradients(model)
    with folded(model) as layers:
        assert sum("forward" in vars(module) for module in model.modules()) == 14
        loss, found = losses_and_gradients(model)
    assert not any("forward" in vars(module) for module in model.modules())
    assert len(layers) == as_one
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-6)
    again, _ = losses_and_gradients(model)
    assert again == expected


def test_without_the_adapter_a_layer_says_what_the_base_says(tiny_model: Path) -> None:
    model = with_adapter(tiny_model, rank=1)
    ids = torch.arange(40).reshape(2, 20)
    with torch.inference_mode(), model.disable_adapter():
        expected = model(input_ids=ids).logits
    with torch.inference_mode(), folded(model):
        assert not torch.equal(model(input_ids=ids).logits, expected)
        with model.disable_adapter():
            assert torch.equal(model(input_ids=ids).logits, expected)


def test_frozen_products_give_the_same_answers(tiny_model: Path) -> None:
    model = with_adapter(tiny_model)
    ids = torch.arange(40).reshape(2, 20)
    with torch.inference_mode():
        expected = model(input_ids=ids).logits
        with folded(model, frozen=True) as layers:
            found = model(input_ids=ids).logits
    assert len(layers) == 14
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_leaves_alone_what_it_would_change(tiny_model: Path) -> None:
    def untouched(model: Any) -> bool:
        with folded(model) as layers:
            return not layers and not any("forward" in vars(module) for module in model.modules())

    assert untouched(with_adapter(tiny_model, dropout=0.1))
    model = with_adapter(tiny_model)
    with model.disable_adapter():
        assert untouched(model)
    assert not untouched(model)
