"""One product instead of three computes the same thing."""

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


def with_adapter(folder: Path, **changes: Any) -> Any:
    base = base_model.load(folder, dtype=torch.float32)
    model = adapter_folder.fresh(base.model, Plan(rank=4, alpha=8, **changes))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model


def test_folding_changes_neither_loss_nor_gradient(tiny_model: Path) -> None:
    model = with_adapter(tiny_model)
    expected, gradients = losses_and_gradients(model)
    with folded(model) as layers:
        loss, found = losses_and_gradients(model)
    assert len(layers) == 14
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-6)
    again, _ = losses_and_gradients(model)
    assert again == expected


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
    with folded(with_adapter(tiny_model, dropout=0.1)) as layers:
        assert len(layers) == 0
    model = with_adapter(tiny_model)
    with model.disable_adapter(), folded(model) as layers:
        assert len(layers) == 0
