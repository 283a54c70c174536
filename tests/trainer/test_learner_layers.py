"""Which layers learn, when, and how fast."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from feedback.errors import Invalid
from tests.trainer.rounds import MIXED, SKY, ask, demonstration, learn, plan, weights
from trainer import adapter_folder, base_model, layers
from trainer.policy import Policy
from trainer.round_trainer import RoundTrainer
from trainer.rows import Row
from trainer.unfreezing import Unfreezing

ROWS = [Row("demonstration", [5, 9, 11], [[20 + at, 30, 4]]) for at in range(4)]


def trainer_of(folder: Path, scratch: Path, **changes: Any) -> RoundTrainer:
    base = base_model.load(folder, dtype=torch.float32)
    return RoundTrainer(
        model=adapter_folder.fresh(base.model, plan(**changes)),
        tokenizer=base.tokenizer,
        schedule=[[ROWS]] * 6,
        plan=plan(**changes),
        scratch=str(scratch),
    )


def test_each_layer_learns_at_a_share_of_the_rate_above_and_the_schedule_keeps_the_ratio(
    tiny_model: Path, tmp_path: Path
) -> None:
    trainer = trainer_of(tiny_model, tmp_path, layer_decay=0.5, lora_plus_ratio=4.0)
    seen: list[list[float]] = []
    step = trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append([group["lr"] for group in trainer.optimizer.param_groups])
        return step(*args, **kwargs)

    trainer.training_step = watched  # type: ignore[method-assign]
    trainer.train()
    assert [group["layer"] for group in trainer.optimizer.param_groups] == [1, 1, 0, 0]
    assert len(seen) == 6
    assert len({rates[0] for rates in seen}) == 6
    for rates in seen:
        assert [rate / rates[0] for rate in rates] == pytest.approx([1, 4, 0.5, 2])
    by_rate = {
        id(weight): group["initial_lr"]
        for group in trainer.optimizer.param_groups
        for weight in group["params"]
    }
    for name, weight in trainer.model.named_parameters():
        if weight.requires_grad:
            expected = 1e-2 * (1 if ".layers.1." in name else 0.5) * (4 if "lora_B" in name else 1)
            assert by_rate.pop(id(weight)) == pytest.approx(expected)
    assert by_rate == {}


def test_one_rate_for_all_needs_no_groups(tiny_model: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_model, tmp_path)
    assert layers.rates(trainer.model, plan(), decayed=[]) is None


def test_a_layer_stays_put_until_its_turn(tiny_model: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_model, tmp_path, unfreeze_every_steps=3)
    seen: list[dict[str, torch.Tensor]] = []
    step = trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append({n: w.detach().clone() for n, w in trainer.model.named_parameters()})
        return step(*args, **kwargs)

    trainer.training_step = watched  # type: ignore[method-assign]
    trainer.train()
    last = dict(trainer.model.named_parameters())
    for name in last:
        if "lora_B" not in name:
            continue
        moved = [not torch.equal(before[name], seen[0][name]) for before in seen[1:]]
        lower = ".layers.0." in name
        assert moved == [not lower, not lower, not lower, True, True]


def test_unfreezing_goes_from_the_top_down_past_layers_without_weights() -> None:
    levels = [[nn.Parameter(torch.zeros(1))] for _ in range(3)] + [[]]
    unfreezing = Unfreezing(levels, every_steps=2)
    learned = []
    for step in range(6):
        unfreezing.at(step)
        learned.append([weight.requires_grad for level in levels for weight in level])
    assert learned[0] == learned[1] == [False, False, True]
    assert learned[2] == learned[3] == [False, True, True]
    assert learned[4] == learned[5] == [True, True, True]


@pytest.mark.parametrize("folded", [True, False])
def test_unfreezing_learns_in_the_end_what_it_was_shown(
    tiny_model: Path, tmp_path: Path, folded: bool
) -> None:
    # Dropout keeps the products from being folded; as little of it changes no answer.
    changes: dict[str, Any] = {"dropout": 0.0 if folded else 1e-6}
    examples = [demonstration(SKY, "It is green.")]
    learn(tiny_model, examples, tmp_path / "a", epochs=30, unfreeze_every_steps=5, **changes)
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("adp_a", tmp_path / "a")
    said = policy.answers([ask(SKY)], adapter="adp_a", max_new_tokens=12)
    assert said == ["It is green."]


def test_only_the_top_layers_have_an_adapter(tiny_model: Path, tmp_path: Path) -> None:
    learn(tiny_model, MIXED, tmp_path / "a", trained_layers_share=0.5)
    names = set(weights(tmp_path / "a"))
    assert names
    assert all(".layers.1." in name for name in names)
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert len(config["target_modules"]) == 7
    learn(tiny_model, MIXED, tmp_path / "b", parent=tmp_path / "a", trained_layers_share=0.5)
    assert set(weights(tmp_path / "b")) == names


def test_a_parents_lower_layers_stay_as_they_are(tiny_model: Path, tmp_path: Path) -> None:
    learn(tiny_model, MIXED, tmp_path / "a")
    learn(tiny_model, MIXED, tmp_path / "b", parent=tmp_path / "a", trained_layers_share=0.5)
    before, after = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert before.keys() == after.keys()
    for name in before:
        assert torch.equal(before[name], after[name]) == (".layers.0." in name)


def test_says_so_where_layers_cannot_be_told_apart(tiny_model: Path) -> None:
    base = base_model.load(tiny_model, dtype=torch.float32)
    base.model.config.num_hidden_layers = 7
    with pytest.raises(Invalid, match="no list of its 7 layers"):
        layers.blocks(base.model)


def test_counts_the_layers_that_learn_from_the_top() -> None:
    assert [layers.first_trained(24, share) for share in (1, 0.5, 0.25, 0.01)] == [0, 12, 18, 23]
