"""A round on a GPU: the same loss and gradient as on a CPU, bf16 that learns, bounded memory."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.rounds import MIXED, SKY, ask, demonstration, learn
from trainer import adapter_folder, base_model, fused_head, loading
from trainer.batches import Batch, branch_log_probs, collate
from trainer.policy import Policy
from trainer.rows import Row
from trainer.settings import Plan

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ROWS = [
    Row("preference", [5, 9, 11, 40], [[20, 30, 4], [21, 4]]),
    Row("verdict", [5, 9], [[33, 4], [20, 30, 31, 32, 4]]),
    Row("demonstration", [5, 9, 8, 7, 6, 5, 9, 11], [[50, 51, 4]]),
]


def with_adapter(model: Any) -> Any:
    """The same adapter on any device: its numbers are drawn on the CPU."""
    adapted = adapter_folder.fresh(model, Plan(rank=4, alpha=8))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return adapted


def slopes(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    said = branch_log_probs(model, batch)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(said.sum(), trained)
    return said.detach().cpu(), torch.cat([slope.flatten().cpu() for slope in found])


@pytest.mark.parametrize("share", [True, False])
def test_log_probabilities_and_gradients_are_those_of_the_cpu(
    tiny_model: Path,
    share: bool,
) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    batch = collate(ROWS, share=share)
    on_gpu = base_model.load(tiny_model, dtype=torch.float32).model
    fused_head.install(on_gpu)
    found, gradient = slopes(with_adapter(on_gpu), batch.to(torch.device("cuda", 0)))
    on_cpu = base_model.load(tiny_model, dtype=torch.float32).model.to("cpu")
    expected, reference = slopes(with_adapter(on_cpu), batch)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert float((gradient - reference).norm() / reference.norm()) < 1e-3


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_round_learns(tiny_model: Path, tmp_path: Path, precision: str) -> None:
    done = learn(
        tiny_model,
        [demonstration(SKY, "It is green."), *MIXED[3:]],
        tmp_path / "a",
        epochs=30,
        precision=precision,
    )
    assert done.losses[-1] < done.losses[0] / 3
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("adp_a", tmp_path / "a")
    assert policy.answers([ask(SKY)], adapter="adp_a", max_new_tokens=12) == ["It is green."]


def test_nothing_is_folded_in_bf16(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainer import folded_lora

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("rounded to bf16, W + sBA would swallow small updates")

    monkeypatch.setattr(folded_lora, "folded", refuse)
    learn(tiny_model, MIXED, tmp_path / "a", precision="bf16", epochs=1)


def test_the_logits_of_a_large_vocabulary_are_never_held_at_once() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary, answer = 150_000, 1024
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
    )
    model = LlamaForCausalLM(config).to("cuda", torch.bfloat16)
    fused_head.install(model)
    adapted = with_adapter(model)
    ids = torch.arange(8, 8 + answer).tolist()
    batch = collate([Row("demonstration", [5, 6], [ids])] * 4).to(torch.device("cuda", 0))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        branch_log_probs(adapted, batch).sum().backward()  # type: ignore[no-untyped-call]
    logits_bytes = 4 * answer * vocabulary * 4
    assert torch.cuda.max_memory_allocated() - before < logits_bytes / 2


def test_auto_means_bf16_where_the_gpu_has_it() -> None:
    expected = torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    assert loading.autocast(Plan(), 10) == expected
