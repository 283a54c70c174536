"""The penalty over the product BA: its Fisher information, its gradient, and what it holds."""

from pathlib import Path
from typing import Any

import pytest
import torch

from feedback.errors import Invalid
from tests.trainer.rounds import MIXED, SKY, ask, demonstration, learn, plan
from trainer import adapter_folder, base_model, ewc
from trainer.batches import branch_log_probs, collate
from trainer.folded_lora import folded
from trainer.policy import Policy
from trainer.round_trainer import RoundTrainer
from trainer.rows import Row

OLD = [
    Row("demonstration", [5, 9, 11], [[20, 30, 4]], source="past"),
    Row("verdict", [6, 8], [[33, 31, 4], [20, 4]], source="past", liked=True, reference=[-9, -9]),
]
NEW = [
    Row("demonstration", [5, 9, 8, 7], [[50, 51, 4]]),
    Row("verdict", [6, 8], [[40, 4]], source="past", liked=False, reference=[-9]),
]


def model_of(folder: Path, *, seed: int, **changes: Any) -> Any:
    base = base_model.load(folder, dtype=torch.float32)
    model = adapter_folder.fresh(base.model, plan(rank=4, alpha=8, **changes))
    move(model, seed=seed)
    return model


def move(model: Any, *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)


def hold(model: Any, rows: list[Row], weight: float = 3.0) -> ewc.Anchor | None:
    return ewc.anchor(
        model.eval(), rows, plan(ewc_weight=weight), share=True, before_each=lambda: None
    )


def adapted(model: Any) -> list[Any]:
    return [m for m in model.modules() if hasattr(m, "lora_A") and hasattr(m, "base_layer")]


def product(module: Any) -> torch.Tensor:
    b, a = module.lora_B["default"].weight, module.lora_A["default"].weight
    found: torch.Tensor = module.scaling["default"] * b @ a
    return found


def fishers_by_autograd(model: Any) -> list[torch.Tensor]:
    """E[(∂ log p / ∂W)²] with W itself made to ask for its gradient."""
    weights = [module.base_layer.weight.requires_grad_() for module in adapted(model)]
    total = [torch.zeros_like(weight) for weight in weights]
    for row in OLD:
        alone = Row("demonstration", row.prompt, row.branches[:1])
        said = branch_log_probs(model, collate([alone])).sum()
        slopes = torch.autograd.grad(said, weights)
        total = [sum_ + slope**2 / len(OLD) for sum_, slope in zip(total, slopes, strict=True)]
    for weight in weights:
        weight.requires_grad_(False)
    return total


@pytest.mark.parametrize("fold", [True, False])
def test_the_penaltys_gradient_is_that_of_its_definition(
    tiny_model: Path, tmp_path: Path, fold: bool
) -> None:
    model = model_of(tiny_model, seed=1)
    fishers = fishers_by_autograd(model.eval())
    starts = [product(module).detach() for module in adapted(model)]
    trained = [weight for weight in model.parameters() if weight.requires_grad]

    def stepped(anchor: ewc.Anchor | None, layers: Any) -> list[torch.Tensor]:
        trainer = RoundTrainer(
            model=model,
            tokenizer=base_model.load(tiny_model, dtype=torch.float32).tokenizer,
            schedule=[[NEW[:1]]],
            plan=plan(),
            scratch=str(tmp_path),
            folded=layers,
            anchor=anchor,
        )
        trainer._get_learning_rate = lambda: 0.0
        model.zero_grad()
        loss = trainer.training_step(model, [collate(NEW[:1])])
        found = [weight.grad.clone() for weight in trained if weight.grad is not None]
        return [*found, loss]

    if fold:
        with folded(model) as layers:
            assert len(layers) == 14
            anchor = hold(model, OLD + NEW)
            move(model, seed=2)
            with_penalty, without = stepped(anchor, layers), stepped(None, layers)
    else:
        anchor = hold(model, OLD + NEW)
        move(model, seed=2)
        with_penalty, without = stepped(anchor, None), stepped(None, None)

    expected = torch.zeros(())
    for module, fisher, start in zip(adapted(model), fishers, starts, strict=True):
        expected = expected + (3.0 / 2 * fisher * (product(module) - start) ** 2).sum()
    gradients = torch.autograd.grad(expected, trained)
    assert expected.item() > 0.01
    assert (with_penalty[-1] - without[-1]).item() == pytest.approx(expected.item(), rel=1e-4)
    for both, one, slope in zip(with_penalty[:-1], without[:-1], gradients, strict=True):
        torch.testing.assert_close(both - one, slope, rtol=1e-3, atol=1e-4)


def test_the_penaltys_gradient_is_its_slope(tiny_model: Path) -> None:
    model = model_of(tiny_model, seed=1)
    anchor = hold(model, OLD)
    assert anchor is not None
    move(model, seed=2)
    layer = adapted(model)[0].lora_B["default"].weight
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = torch.zeros_like(weight)
    anchor.pull({})
    slope = layer.grad.clone()
    with torch.no_grad():
        for at in ((0, 0), (5, 3)):
            known = float(slope[at])
            values = []
            for step in (0.01, -0.01):
                layer[at] += step
                values.append(anchor.pull({}))
                layer[at] -= step
            assert (values[0] - values[1]) / 0.02 == pytest.approx(known, rel=0.02, abs=1e-5)


def test_nothing_pulls_where_nothing_moved_or_nothing_is_old(tiny_model: Path) -> None:
    model = model_of(tiny_model, seed=1)
    anchor = hold(model, OLD)
    assert anchor is not None
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = torch.zeros_like(weight)
    assert anchor.pull({}) == 0
    assert hold(model, NEW) is None
    assert hold(model, OLD, weight=0.0) is None


@pytest.mark.parametrize("threads", [1, 3])
def test_old_answers_are_kept_better_with_it(
    tiny_model: Path, tmp_path: Path, threads: int
) -> None:
    old = [
        demonstration("Why?", "Because.", "past"),
        demonstration("Where is the station?", "Behind the old market.", "past"),
    ]
    learn(tiny_model, old, tmp_path / "parent", epochs=30)
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("parent", tmp_path / "parent")
    # The old examples tell what matters; they hardly teach again.
    faint = [type(each)(**{**each.__dict__, "weight": 1e-6}) for each in old]
    kept, new = [], []
    for name, weight in (("free", 0.0), ("held", 3e3)):
        learn(
            tiny_model,
            [demonstration(SKY, "It is green."), *faint],
            tmp_path / name,
            parent=tmp_path / "parent",
            epochs=15,
            threads=threads,
            ewc_weight=weight,
        )
        policy.attach(name, tmp_path / name)
        said = [(each.messages, each.target) for each in old]
        kept.append(sum(policy.log_likelihood(said, adapter=name)))
        new.append(policy.log_likelihood([(ask(SKY), "It is green.")], adapter=name)[0])
    assert kept[1] > kept[0] + 0.1
    assert new[1] > policy.log_likelihood([(ask(SKY), "It is green.")], adapter="parent")[0]


def test_as_many_lanes_as_there_are_hold_alike(tiny_model: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        learn(tiny_model, MIXED, tmp_path / str(threads), threads=threads, ewc_weight=10.0)
    written = [(tmp_path / n / "adapter_model.safetensors").read_bytes() for n in ("1", "3")]
    assert written[0] == written[1]


def test_refuses_an_adapter_that_is_no_product(tiny_model: Path) -> None:
    model = model_of(tiny_model, seed=1, lora_variant="dora", step_share=1.0)
    with pytest.raises(Invalid, match="product BA"):
        hold(model, OLD)
