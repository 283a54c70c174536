"""The hold to the previous adapter, against a plain computation with that adapter beside the new."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from trainer import adapter_folder, base_model
from trainer.batches import answer_logits, collate
from trainer.examples import Example, Message
from trainer.folded_lora import folded
from trainer.lanes import Lanes
from trainer.learner import train
from trainer.objectives import denominators
from trainer.policy import Policy
from trainer.retention_kl import Retention
from trainer.round_trainer import RoundTrainer
from trainer.rows import Row
from trainer.settings import Plan

ROWS = [
    Row("demonstration", [5, 9, 11, 40], [[20, 30, 4]], source="past"),
    Row("demonstration", [5, 9, 8, 7, 6, 12], [[50, 51, 52, 53, 4]], source="general"),
    Row("demonstration", [5, 13], [[60, 61, 4]]),
    Row("preference", [5, 9, 11, 40], [[20, 30, 4], [21, 4]], reference=[-9.0, -8.0]),
    Row("verdict", [5, 9, 17], [[33, 4], [20, 30, 31, 4]], reference=[-7.0, -9.0]),
]
REPLAYED = ROWS[:2]


def noisy(model: Any, seed: int) -> None:
    """Move every adapter weight a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)


def started(folder: Path, plan: Plan) -> tuple[Any, Any]:
    """A tokenizer and a model whose adapter says something else than the base."""
    base = base_model.load(folder, dtype=torch.float32)
    model = adapter_folder.fresh(base.model, plan)
    noisy(model, 0)
    return base.tokenizer, model


def plain(model: Any, before: dict[str, torch.Tensor]) -> torch.Tensor:
    """KL(before ‖ now) per replayed answer token, one row at a time and nothing shared."""
    now = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    said = []
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(before[name])
        for row in REPLAYED:
            said.append(answers(model, row))
        for name, weight in model.named_parameters():
            weight.copy_(now[name])
    total = torch.zeros(())
    for row, theirs in zip(REPLAYED, said, strict=True):
        ours = answers(model, row)
        total = total + (theirs.exp() * (theirs - ours)).sum()
    return total / sum(len(row.branches[0]) for row in REPLAYED)


def answers(model: Any, row: Row) -> torch.Tensor:
    ids = torch.tensor([row.prompt + row.branches[0]])
    start = len(row.prompt) - 1
    logits = model(input_ids=ids).logits[0, start:-1]
    return functional.log_softmax(logits.float(), dim=-1)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("folds", [True, False])
def test_loss_and_gradient_are_those_of_the_plain_computation(
    tiny_model: Path, tmp_path: Path, folds: bool, lanes: int
) -> None:
    plan = Plan(
        rank=4,
        alpha=8,
        replay_kl_weight=0.7,
        demonstration_weight=0,
        preference_weight=0,
        verdict_weight=0,
    )
    tokenizer, model = started(tiny_model, plan)
    model.eval()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    def step(products: Any) -> tuple[float, dict[str, torch.Tensor]]:
        retention = Retention(model, ROWS, budget_tokens=64)
        noisy(model, 1)
        with Lanes(lanes) as side_by_side:
            trainer = RoundTrainer(
                model=model,
                tokenizer=tokenizer,
                schedule=[[[ROWS[2], ROWS[0]], [ROWS[1]], ROWS[3:]]],
                plan=plan,
                scratch=str(tmp_path),
                retention=retention,
                folded=products,
                lanes=side_by_side,
            )
            trainer.create_optimizer_and_scheduler(num_training_steps=1)
            [batches] = trainer.get_train_dataloader()
            over = denominators(ROWS)
            assert over.replayed_tokens == 8
            loss = trainer.training_step(model, batches, over)
            return loss.item(), {
                name: weight.grad.clone()
                for name, weight in model.named_parameters()
                if weight.grad is not None
            }

    if folds:
        with folded(model) as products:
            assert len(products) > 0
            loss, gradient = step(products)
    else:
        loss, gradient = step(None)
    model.zero_grad()
    expected = 0.7 * plain(model, before)
    torch.autograd.backward(expected)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert expected.item() > 0.01
    wanted = {n: w.grad for n, w in model.named_parameters() if w.grad is not None}
    assert wanted.keys() == gradient.keys()
    for name, each in wanted.items():
        torch.testing.assert_close(gradient[name], each, rtol=1e-4, atol=1e-6, msg=name)


def test_at_the_start_there_is_nothing_to_hold_against(tiny_model: Path) -> None:
    _, model = started(tiny_model, Plan(rank=4, alpha=8))
    model.eval()
    for full in (4096, 0):
        held = Retention(model, ROWS, budget_tokens=64, full=full)
        batch = collate(REPLAYED)
        loss = held.loss(answer_logits(model, batch), batch, 8)
        assert loss is not None
        assert abs(loss.item()) < 1e-5
        news = collate(ROWS[2:3])
        assert held.loss(answer_logits(model, news), news, 8) is None


def test_of_a_large_vocabulary_the_likely_tokens_stand_for_nearly_everything(
    tiny_model: Path,
) -> None:
    _, model = started(tiny_model, Plan(rank=4, alpha=8))
    model.eval()
    exact = Retention(model, ROWS, budget_tokens=64)
    bounded = Retention(model, ROWS, budget_tokens=64, full=100)
    noisy(model, 1)
    batch = collate(REPLAYED)
    logits = answer_logits(model, batch)
    whole, part = (each.loss(logits, batch, 8) for each in (exact, bounded))
    assert whole is not None and part is not None
    # The tiny model is random and spreads its bets, which is the worst case.
    assert 0.3 * whole.item() < part.item() <= whole.item()
    torch.autograd.backward(part)
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


def test_a_round_that_is_held_drifts_less_on_what_it_rehearses(
    tiny_model: Path, tmp_path: Path
) -> None:
    def ask(question: str) -> tuple[Message, ...]:
        return (Message(role="user", content=question),)

    policy = Policy.load(tiny_model, threads=1)
    [own] = policy.answers([ask("Where is the station?")], adapter=None, max_new_tokens=8)
    kept = Example("demonstration", ask("Where is the station?"), own or "Behind.", source="past")
    new = Example("demonstration", ask("What colour is the sky?"), "It is green.")
    drift, learned = {}, {}
    for weight in (0.0, 3.0):
        done = train(
            Plan(
                base_model="tiny",
                rank=8,
                epochs=25.0,
                minimum_steps=0,
                threads=1,
                learning_rate=1e-2,
                replay_kl_weight=weight,
            ),
            tiny_model,
            [kept, new],
            parent=None,
            out=tmp_path / f"{weight}",
            report=lambda _: None,
        )
        assert ("retention" in done.objectives) == bool(weight)
        policy.attach(f"held-{weight:.0f}", tmp_path / f"{weight}")
        name = f"held-{weight:.0f}"
        [drift[weight]] = policy.drift([kept.messages], [kept.target], new=name, old=None)
        learned[weight] = policy.answers([new.messages], adapter=name, max_new_tokens=8)
    assert drift[3.0] < 0.5 * drift[0.0]
    assert learned[0.0] == learned[3.0] == ["It is green."]
