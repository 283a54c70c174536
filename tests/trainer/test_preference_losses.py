"""Losses that mind noise and length: equal to TRL's own, and to plain DPO where they do nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from tests.builders import plan
from tests.trainer.test_learner_against_trl import (
    COMMON,
    PLAN,
    QUESTIONS,
    gradient,
    model_with_adapter,
    move,
    turn,
)
from trainer.batches import Batch, collate, fill_references, split_log_probs
from trainer.examples import Example, Message, Source
from trainer.learner import train
from trainer.objectives import denominators, losses, objective_weights
from trainer.preference_losses import DPO, Form, margins, preference_losses, verdict_losses
from trainer.round_trainer import RoundTrainer
from trainer.rows import Row, build
from trainer.settings import Plan

Case = tuple[dict[str, Any], dict[str, Any], int]
CASES: dict[str, Case] = {
    "robust": (
        {"preference_loss": "robust", "label_noise": 0.2},
        {"loss_type": "robust", "label_smoothing": 0.2},
        3,
    ),
    # TRL has no loss of its own for it; of one pair, its AOT is DPO with smoothed labels.
    "conservative": (
        {"preference_loss": "conservative", "label_noise": 0.2},
        {"loss_type": "aot", "label_smoothing": 0.2},
        1,
    ),
    "ipo": ({"preference_loss": "ipo"}, {"loss_type": "ipo"}, 3),
    "desensitised": (
        {"length_control": "desensitised", "length_strength": 0.7},
        {"ld_alpha": 0.3},
        3,
    ),
    "normalised": (
        {"length_control": "normalised", "length_strength": 1.0},
        {"loss_type": "sigmoid_norm"},
        3,
    ),
    "both": (
        {
            "preference_loss": "robust",
            "label_noise": 0.3,
            "length_control": "desensitised",
            "length_strength": 0.5,
        },
        {"loss_type": "robust", "label_smoothing": 0.3, "ld_alpha": 0.5},
        3,
    ),
}


def preferences(count: int = 3) -> list[Example]:
    return [
        Example("preference", (Message(role="user", content=question),), good, rejected=bad)
        for question, good, bad in QUESTIONS[-count:]
    ]


def ours(
    folder: Path, changes: dict[str, Any], *, count: int, share: bool, tmp_path: Path
) -> tuple[float, torch.Tensor]:
    asked = PLAN.model_copy(update=changes)
    base, model = model_with_adapter(folder)
    rows, _ = build(
        preferences(count),
        base.encoder,
        context_tokens=128,
        objective_weights=objective_weights(asked),
    )
    fill_references(
        model,
        rows,
        budget_tokens=100,
        share=share,
        before_each=lambda: None,
        split=Form.of(asked).splits,
    )
    move(model, seed=2)
    trainer = RoundTrainer(
        model=model,
        tokenizer=base.tokenizer,
        schedule=[[rows]],
        plan=asked,
        scratch=str(tmp_path),
        nll_share=0.0,
    )
    loss = trainer.compute_loss(model.train(), collate(rows, share=share))
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), gradient(model)


def theirs(
    folder: Path, config: dict[str, Any], *, count: int, tmp_path: Path
) -> tuple[float, torch.Tensor]:
    base, model = model_with_adapter(folder)
    asked = QUESTIONS[-count:]
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(tmp_path),
            beta=PLAN.beta,
            **{**COMMON, "per_device_train_batch_size": count},
            **config,
        ),
        train_dataset=Dataset.from_dict(
            {
                "prompt": [[turn("user", question)] for question, _, _ in asked],
                "chosen": [[turn("assistant", good)] for _, good, _ in asked],
                "rejected": [[turn("assistant", bad)] for _, _, bad in asked],
            }
        ),
        processing_class=base.tokenizer,
    )
    move(trainer.model, seed=2)
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model.train(), batch)
    loss.backward()
    return loss.item(), gradient(trainer.model)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore")  # TRL's own warnings are not the subject
def test_loss_and_gradient_equal_those_of_trl(tiny_model: Path, tmp_path: Path, case: str) -> None:
    changes, config, count = CASES[case]
    loss, expected = theirs(tiny_model, config, count=count, tmp_path=tmp_path)
    _, plain = ours(tiny_model, {}, count=count, share=True, tmp_path=tmp_path)
    assert (plain - expected).norm() / expected.norm() > 0.01
    for share in (True, False):
        own_loss, own = ours(tiny_model, changes, count=count, share=share, tmp_path=tmp_path)
        assert own_loss == pytest.approx(loss, rel=1e-5)
        assert (own - expected).norm() / expected.norm() < 1e-5
        assert expected.norm() > 1e-3


def pair(chosen: int, rejected: int, noise: float = 0.0) -> Row:
    return Row(
        "preference",
        [1],
        [[2] * chosen, [3] * rejected],
        reference=[-3.0, -4.0],
        reference_beyond=[0.0, 0.0],
        noise=noise,
    )


def tokens(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def step_loss(rows: list[Row], form: Form) -> torch.Tensor:
    batch: Batch = collate(rows)
    log_probs = torch.tensor([-2.5, -4.25] * len(rows))
    over = denominators(rows)
    found = losses(log_probs, batch, over, beta=0.1, nll_share=1.0, form=form, beyond=log_probs / 3)
    return found["preference"]


@pytest.mark.parametrize("control", ["desensitised", "normalised", "penalty"])
@pytest.mark.parametrize("loss", ["sigmoid", "conservative", "robust"])
def test_no_strength_and_no_noise_is_plain_dpo_bit_for_bit(control: str, loss: str) -> None:
    rows = [pair(3, 5), pair(6, 2)]
    off = Form.of(plan(length_control=control, length_strength=0.0, preference_loss=loss))
    assert step_loss(rows, off).equal(step_loss(rows, DPO))
    on = Form.of(plan(length_control=control, length_strength=0.4))
    assert not step_loss(rows, on).equal(step_loss(rows, DPO))


def test_a_penalty_leaves_less_to_learn_where_the_longer_answer_won() -> None:
    form = Form(length_control="penalty", length_strength=0.02)
    for rows, longer_won in (([pair(9, 2)], True), ([pair(2, 9)], False)):
        slopes = []
        for each in (form, DPO):
            margin = tokens(0.5)
            preference_losses(margin, rows, beta=0.1, form=each).sum().backward()  # type: ignore[no-untyped-call]
            assert margin.grad is not None
            slopes.append(-margin.grad.item())
        assert (slopes[0] < slopes[1]) is longer_won


def test_what_stands_beyond_the_shorter_answer_counts_less() -> None:
    form = Form(length_control="desensitised", length_strength=1.0)
    rows = [pair(9, 2)]
    found = margins(tokens(-9.0), tokens(-4.0), rows, form=form, beyond=(tokens(-7.0), tokens(0.0)))
    assert found.tolist() == pytest.approx([(-9 + 3 + 7) - 0])


def test_only_tokens_beyond_the_shorter_answer_are_split_off(tiny_model: Path) -> None:
    _, model = model_with_adapter(tiny_model)
    rows = [Row("demonstration", [5, 9], [[50, 51, 4]]), Row("verdict", [5], [[6, 4], [7, 8, 4]])]
    longer = Row("preference", [5, 9, 11], [[20, 30, 31, 4], [21, 4]])
    full, beyond = split_log_probs(model, collate([*rows, longer]))
    head = Row("demonstration", [5, 9, 11], [[20, 30]])
    shorter, _ = split_log_probs(model, collate([head]))
    assert beyond[:3].tolist() == [0.0, 0.0, 0.0] and beyond[4] == 0
    assert (full[3] - beyond[3]).item() == pytest.approx(shorter[0].item(), rel=1e-5)


def test_an_estimate_belongs_to_a_row_and_a_number_to_all() -> None:
    margin = torch.tensor([1.0, 1.0, 1.0])
    rows = [pair(2, 2), pair(2, 2, noise=0.2), pair(2, 2, noise=0.9)]
    own = preference_losses(margin, rows, beta=0.1, form=Form("robust"))
    assert own[0] == preference_losses(margin, rows, beta=0.1)[0]
    assert own[0] < preference_losses(margin, rows, beta=0.1)[0] + 1e-6
    assert own.isfinite().all() and len(set(own.tolist())) == 3
    all_alike = preference_losses(margin, rows, beta=0.1, form=Form("robust", noise=0.2))
    assert all_alike.tolist() == pytest.approx([own[1].item()] * 3)


def test_a_robust_loss_is_on_the_mean_what_it_is_without_noise() -> None:
    noise, margin = 0.3, 1.7
    flips = torch.tensor([margin, -margin])
    rows = [pair(2, 2), pair(2, 2)]
    robust = preference_losses(flips, rows, beta=0.5, form=Form("robust", noise=noise))
    mean = (1 - noise) * robust[0] + noise * robust[1]
    plain = preference_losses(flips, rows, beta=0.5)[0]
    assert mean.item() == pytest.approx(plain.item(), rel=1e-5)


def test_a_conservative_loss_is_least_where_the_model_is_as_sure_as_the_label() -> None:
    margin = torch.linspace(-40, 40, 8001)
    form = Form("conservative", noise=0.2)
    least = margin[preference_losses(margin, [pair(1, 1)] * 8001, beta=0.1, form=form).argmin()]
    assert torch.sigmoid(0.1 * least).item() == pytest.approx(0.8, abs=0.01)


def test_a_doubtful_verdict_pulls_less_or_more() -> None:
    each = tokens(0.4)
    row = Row("verdict", [1], [[2]], noise=0.25)
    for loss, slope in (("sigmoid", 1.0), ("ipo", 1.0), ("conservative", 0.5), ("robust", 2.0)):
        [found] = torch.autograd.grad(
            verdict_losses(each, [row], form=Form(loss)).sum(),  # type: ignore[arg-type]
            each,
        )
        assert found.item() == pytest.approx(slope)


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_noise": 0.5},
        {"label_noise": -0.1},
        {"length_control": "desensitised", "length_strength": 1.5},
        {"augmentation_url": "http://127.0.0.1:9/v1"},
        {"augmentation_url": "http://me:key@127.0.0.1/v1", "augmentation_model": "any"},
        {"augmentation_url": "/v1", "augmentation_model": "any"},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"label_noise|length_strength|augmentation_"):
        Plan(**wrong)


OPTIONS: list[dict[str, Any]] = [
    {"preference_loss": "robust", "label_noise": 0.3},
    {"length_control": "desensitised"},
    {"staged_introduction": 0.5},
    {"staged_introduction": 0.5, "staged_order": "easy-first"},
]


def test_every_option_reaches_training_and_threads_change_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    examples = [*preferences(), Example("verdict", preferences()[0].messages, "Blue.", liked=True)]
    for at, (question, good, _) in enumerate(QUESTIONS):
        messages = (Message(role="user", content=question),)
        source: Source = "new" if at else "past"
        examples.append(Example("demonstration", messages, good, source=source))

    def learned(threads: int, **changes: Any) -> bytes:
        out = tmp_path / f"{threads} {changes}"
        asked = Plan(
            rank=4,
            epochs=2,
            minimum_steps=0,
            batch_tokens=60,
            preference_weight=1.0,
            verdict_weight=1.0,
            threads=threads,
            **changes,
        )
        train(asked, tiny_model, examples, parent=None, out=out, report=lambda _: None)
        return (out / "adapter_model.safetensors").read_bytes()

    found = [learned(1, **changes) for changes in ({}, *OPTIONS)]
    assert len(set(found)) == len(found)
    everything = {**OPTIONS[0], **OPTIONS[1], **OPTIONS[3]}
    assert learned(1, **everything) == learned(3, **everything)
