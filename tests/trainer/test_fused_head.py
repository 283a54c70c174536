"""TRL's head, fed with the scored positions only, says what the model's own head says.

On a CPU it runs TRL's tiles without a kernel: the same function, slower.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from trainer import adapter_folder, base_model, fused_head
from trainer.batches import answer_logits, branch_log_probs, collate
from trainer.rows import Row
from trainer.settings import Plan

ROWS = [
    Row("preference", [5, 9, 11, 40], [[20, 30, 4], [21, 4]]),
    Row("verdict", [5, 9], [[33, 4], [20, 30, 31, 32, 4]]),
    Row("demonstration", [5, 9, 8, 7, 6, 5, 9, 11], [[50, 51, 4]]),
]


def said(model: Any, share: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    found = branch_log_probs(model, collate(ROWS, share=share))
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    pull = torch.linspace(-1, 1, len(found))
    return found.detach(), list(torch.autograd.grad((found * pull).sum(), trained))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_the_fused_head_gives_the_same_log_probabilities_and_gradients(
    tiny_model: Path, share: bool, softcap: float | None
) -> None:
    found = []
    for fused in (False, True):
        base = base_model.load(tiny_model, dtype=torch.float32)
        if softcap is not None and fused:
            base.model.config.final_logit_softcapping = softcap
        if fused:
            fused_head.install(base.model)
        model = adapter_folder.fresh(base.model, Plan(rank=4, alpha=8))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
        if softcap is not None and not fused:
            model.get_output_embeddings().register_forward_hook(
                lambda _m, _g, logits: softcap * torch.tanh(logits / softcap)
            )
        found.append(said(model, share))
        logits = answer_logits(model, collate(ROWS, share=share))
        assert logits.shape[0] == sum(len(b) for row in ROWS for b in row.branches)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_a_cpu_keeps_the_narrowed_head() -> None:
    assert fused_head.applies() == torch.cuda.is_available()
