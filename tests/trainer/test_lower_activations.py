"""Starting from what reaches the lowest layer that learns changes nothing but the time it takes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from feedback.errors import Invalid
from tests.trainer.rounds import MIXED, apart, learn
from trainer import adapter_folder, base_model, layers
from trainer.batches import Batch, branch_log_probs, collate
from trainer.lower_activations import LowerActivations, kept
from trainer.rows import Row
from trainer.settings import Plan

ROWS = [
    Row("preference", [5, 9, 11, 40], [[20, 30, 4], [21, 4]]),
    Row("verdict", [5, 9], [[33, 4], [20, 30, 31, 32, 4]]),
    Row("demonstration", [5, 9, 8, 7, 6, 5, 9, 11], [[50, 51, 4]]),
]
TWICE = [[ROWS], [ROWS]]


def top_half(folder: Path) -> Any:
    plan = Plan(rank=4, alpha=8, trained_layers_share=0.5)
    base = base_model.load(folder, dtype=torch.float32)
    model = adapter_folder.fresh(base.model, plan)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return model


def fill(lower: LowerActivations, model: Any, *, share: bool = True) -> None:
    lower.fill(model, ROWS, budget_tokens=30, share=share, before_each=lambda: None)


def slopes(model: Any, batch: Batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    said = branch_log_probs(model, batch)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    return said.detach(), list(torch.autograd.grad(said.sum(), trained))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize(("precision", "error"), [("fp32", 1e-6), ("fp16", 1e-3)])
def test_log_probabilities_and_gradients_are_those_of_the_whole_model(
    tiny_model: Path, share: bool, precision: str, error: float
) -> None:
    model = top_half(tiny_model)
    batch = collate([ROWS[2], ROWS[0], ROWS[1]], share=share)
    expected, gradients = slopes(model, batch)
    ran: list[int] = []
    found: Any = layers.blocks(model)[1]
    with kept(model, TWICE, share=0.5, precision=precision) as lower:
        assert lower is not None
        fill(lower, model, share=share)
        assert len(lower) == 3
        found[0].mlp.register_forward_hook(lambda *_: ran.append(1))
        with lower.given(batch):
            said, own = slopes(model, batch)
        assert ran == []  # the lower layer was not computed
        slopes(model, batch)
        assert ran == [1]  # outside it is
    torch.testing.assert_close(said, expected, rtol=error, atol=error)
    torch.testing.assert_close(own, gradients, rtol=10 * error, atol=10 * error)
    torch.testing.assert_close(slopes(model, batch)[0], expected)


def test_half_precision_takes_half_the_memory_and_wide_values_are_kept_whole(
    tiny_model: Path,
) -> None:
    model = top_half(tiny_model)
    tokens = sum(row.tokens for row in ROWS)
    for precision, width in (("fp16", 2), ("fp32", 4)):
        with kept(model, TWICE, share=0.5, precision=precision) as lower:
            assert lower is not None
            fill(lower, model)
            assert lower.bytes == tokens * 32 * width
    with torch.no_grad():
        model.get_input_embeddings().weight[50] = 1e6
    batch = collate(ROWS)
    expected = branch_log_probs(model, batch)
    with kept(model, TWICE, share=0.5, precision="fp16") as lower:
        assert lower is not None
        fill(lower, model)
        with lower.given(batch):
            torch.testing.assert_close(
                branch_log_probs(model, batch), expected, rtol=1e-3, atol=1e-3
            )


def test_a_row_that_is_not_known_is_computed_whole(tiny_model: Path) -> None:
    model = top_half(tiny_model)
    batch = collate([*ROWS, Row("demonstration", [5, 6], [[7, 4]])])
    expected = branch_log_probs(model, batch)
    with kept(model, TWICE, share=0.5, precision="fp32") as lower:
        assert lower is not None
        fill(lower, model)
        with lower.given(batch):
            torch.testing.assert_close(branch_log_probs(model, batch), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("schedule", "share", "precision"),
    [([[ROWS]], 0.5, "fp16"), (TWICE, 1.0, "fp16"), (TWICE, 0.5, "off")],
)
def test_nothing_is_kept_where_it_would_not_pay(
    tiny_model: Path, schedule: Any, share: float, precision: str
) -> None:
    model = top_half(tiny_model)
    with kept(model, schedule, share=share, precision=precision) as lower:
        assert lower is None


def test_a_model_whose_upper_layers_need_more_is_found_out(tiny_model: Path) -> None:
    model = top_half(tiny_model)
    found: Any = layers.blocks(model)[1]
    heard: list[torch.Tensor] = []
    found[0].mlp.register_forward_hook(lambda _module, _given, result: heard.append(result))
    found[1].register_forward_hook(
        lambda _module, _given, result: result + 3 * (heard.pop() if heard else 0)
    )
    with (
        kept(model, TWICE, share=0.5, precision="fp16") as lower,
        pytest.raises(Invalid, match="lower_activations"),
    ):
        assert lower is not None
        fill(lower, model)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_round_ends_with_the_same_adapter(tiny_model: Path, tmp_path: Path, threads: int) -> None:
    changes: dict[str, Any] = {"trained_layers_share": 0.5, "threads": threads}
    whole = learn(tiny_model, MIXED, tmp_path / "a", lower_activations="off", **changes)
    exact = learn(tiny_model, MIXED, tmp_path / "b", lower_activations="fp32", **changes)
    half = learn(tiny_model, MIXED, tmp_path / "c", lower_activations="fp16", **changes)
    assert exact.losses == pytest.approx(whole.losses, rel=1e-5)
    assert half.losses == pytest.approx(whole.losses, rel=2e-4)
    assert apart(tmp_path / "a", tmp_path / "b") < 1e-4
