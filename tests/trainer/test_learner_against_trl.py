"""Each objective's loss and gradient equal those of TRL's own trainer on the same rows."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from trainer import adapter_folder, base_model
from trainer.batches import collate, fill_references
from trainer.examples import Example, Kind, Message
from trainer.objectives import objective_weights
from trainer.round_trainer import RoundTrainer
from trainer.rows import Row, build
from trainer.settings import Plan

QUESTIONS = [
    ("What colour is the sky?", "It is blue today.", "Grey"),
    ("Who wrote the letter?", "Ana", "My friend did not write any letter at all."),
    ("Where?", "Behind the old market, I like it there.", "There."),
]
PLAN = Plan(rank=4, alpha=8, demonstration_weight=1, preference_weight=1, verdict_weight=1)
COMMON: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "activation_checkpointing": False,
    "report_to": "none",
    "max_length": None,
    "per_device_train_batch_size": len(QUESTIONS),
    "disable_tqdm": True,
}


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def model_with_adapter(folder: Path) -> tuple[base_model.BaseModel, Any]:
    """A model whose adapter already says something of its own."""
    base = base_model.load(folder, dtype=torch.float32)
    model = adapter_folder.fresh(base.model, PLAN)
    move(model, seed=1)
    return base, model


def move(model: Any, *, seed: int) -> None:
    """What training might have done to the adapter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name and ".ref." not in name:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)


def gradient(model: Any) -> torch.Tensor:
    return torch.cat(
        [
            p.grad.flatten()
            for name, p in sorted(model.named_parameters())
            if p.grad is not None and ".ref." not in name
        ]
    )


def ours(
    folder: Path, kind: Kind, *, share: bool, tmp_path: Path
) -> tuple[float, torch.Tensor, list[Row]]:
    examples = []
    for number, (question, good, bad) in enumerate(QUESTIONS):
        messages = (Message(role="user", content=question),)
        if kind == "verdict":
            examples.append(Example(kind, messages, good, liked=number != 1))
        else:
            rejected = bad if kind == "preference" else None
            examples.append(Example(kind, messages, good, rejected=rejected))
    base, model = model_with_adapter(folder)
    rows, _ = build(
        examples, base.encoder, context_tokens=128, objective_weights=objective_weights(PLAN)
    )
    fill_references(model, rows, budget_tokens=100, share=share, before_each=lambda: None)
    move(model, seed=2)
    trainer = RoundTrainer(
        model=model,
        tokenizer=base.tokenizer,
        schedule=[[rows]],
        plan=PLAN,
        scratch=str(tmp_path),
        nll_share=0.0,
    )
    loss = trainer.compute_loss(model.train(), collate(rows, share=share))
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), gradient(model), rows


def theirs(folder: Path, kind: Kind, tmp_path: Path) -> tuple[float, torch.Tensor]:
    base, model = model_with_adapter(folder)
    prompts = [[turn("user", question)] for question, _, _ in QUESTIONS]
    goods = [[turn("assistant", good)] for _, good, _ in QUESTIONS]
    bads = [[turn("assistant", bad)] for _, _, bad in QUESTIONS]
    trainer: Any
    if kind == "demonstration":
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(output_dir=str(tmp_path), **COMMON),
            train_dataset=Dataset.from_dict({"prompt": prompts, "completion": goods}),
            processing_class=base.tokenizer,
        )
    elif kind == "preference":
        trainer = DPOTrainer(
            model=model,
            args=DPOConfig(output_dir=str(tmp_path), beta=PLAN.beta, **COMMON),
            train_dataset=Dataset.from_dict({"prompt": prompts, "chosen": goods, "rejected": bads}),
            processing_class=base.tokenizer,
        )
    else:
        trainer = KTOTrainer(
            model=model,
            args=KTOConfig(
                output_dir=str(tmp_path),
                beta=PLAN.beta,
                train_sampling_strategy="sequential",
                **COMMON,
            ),
            train_dataset=Dataset.from_dict(
                {"prompt": prompts, "completion": goods, "label": [True, False, True]}
            ),
            processing_class=base.tokenizer,
        )
    move(trainer.model, seed=2)
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model.train(), batch)
    loss.backward()
    return loss.item(), gradient(trainer.model)


@pytest.mark.parametrize("kind", ["demonstration", "preference", "verdict"])
@pytest.mark.filterwarnings("ignore")  # TRL's own warnings are not the subject
def test_loss_and_gradient_equal_those_of_trl(tiny_model: Path, tmp_path: Path, kind: Kind) -> None:
    loss, expected = theirs(tiny_model, kind, tmp_path)
    for share in (True, False):
        own_loss, own, _ = ours(tiny_model, kind, share=share, tmp_path=tmp_path)
        error = (own - expected).norm() / expected.norm()
        assert own_loss == pytest.approx(loss, rel=1e-5)
        assert error < 1e-5
        assert expected.norm() > 1e-3
