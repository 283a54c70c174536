"""The rate follows the loss on dev, and the batch the noise of the gradient."""

import itertools
import math
from pathlib import Path

import pytest
import torch

from tests.trainer.rounds import demonstration
from tests.trainer.test_learner import learn, plan
from trainer.dynamic import NoiseScale, Plateau, next_scale
from trainer.examples import Example
from trainer.learner import Trained, train

WORDS = ("green", "red", "blue", "grey", "black", "white", "brown", "pink")


def test_the_rate_falls_whenever_the_loss_has_stopped_falling() -> None:
    plateau = Plateau(2, 0.5)
    lowered = [plateau.look(loss) for loss in (3.0, 2.0, 2.5, 2.0, 1.9, 1.95, 1.95, 1.9, 2.0)]
    assert lowered == [False, False, False, True, False, False, True, False, True]
    assert plateau.rate_factor == 0.125
    assert not any(Plateau(None, 0.5).look(1.0) for _ in range(9))


@pytest.mark.parametrize(("wanted_tokens", "within"), [(50.0, 0.1), (400.0, 0.3)])
def test_finds_the_noise_scale_that_was_planted(wanted_tokens: float, within: float) -> None:
    """Each token's gradient is G plus noise, with tr(Σ)/|G|² as wanted."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.ones(64) / 8
    noise = NoiseScale()
    assert noise.tokens is None
    found: list[float | None] = []
    for _ in range(400):
        sizes = (40, 24)
        spread = math.sqrt(wanted_tokens / 64)
        parts = [
            (size * truth + math.sqrt(size) * spread * torch.randn(64, generator=generator)) / 64
            for size in sizes
        ]
        noise.add(
            float(sum(parts).square().sum()),  # type: ignore[union-attr]
            [float(part.square().sum()) for part in parts],
            shares=[size / 64 for size in sizes],
            tokens=64,
        )
        found.append(noise.tokens)
    later = sorted(each for each in found[50:] if each is not None)
    assert later[len(later) // 2] == pytest.approx(wanted_tokens, rel=within)


def test_a_gradient_that_is_lost_in_noise_asks_for_the_largest_batch() -> None:
    noise = NoiseScale()
    for _ in range(10):
        noise.add(1.0, [1.0, 1.0], shares=[0.5, 0.5], tokens=64)
    assert noise.tokens == math.inf


@pytest.mark.parametrize(
    ("scale", "wanted", "most", "next_"),
    [
        (1, 1.9, 4, 1),
        (1, 2, 4, 2),
        (1, math.inf, 1, 1),
        (4, 99, 4, 4),
        (1, 0.5, 4, 0.5),
        (0.25, 0, 4, 0.25),
        (2, 0.3, 4, 1),
        (1, 0.6, 4, 1),
        (2, 9, 3, 2),
    ],
)
def test_the_size_of_a_step_moves_by_one_factor_of_two_at_a_time(
    scale: float, wanted: float, most: int, next_: float
) -> None:
    assert next_scale(scale, wanted=wanted, most=most) == next_


def noisy(folder: Path, model: Path, *, threads: int, learning_rate: float = 1e-4) -> Trained:
    """Answers that contradict each other, so that the gradient says little."""
    examples = [demonstration(f"What is {n}?", f"It is {WORDS[n % 8]}.") for n in range(24)]
    return learn(
        model,
        examples,
        folder,
        epochs=8,
        batch_tokens=150,
        batch_range=4,
        threads=threads,
        learning_rate=learning_rate,
    )


def test_noisy_steps_grow_and_give_the_same_weights_on_any_number_of_lanes(
    tiny_model: Path, tmp_path: Path
) -> None:
    done = [noisy(tmp_path / str(n), tiny_model, threads=n, learning_rate=1e-2) for n in (1, 2)]
    steady = learn(
        tiny_model,
        [demonstration(f"What is {n}?", f"It is {WORDS[n % 8]}.") for n in range(24)],
        tmp_path / "steady",
        epochs=8,
        batch_tokens=150,
    )
    assert done[0].losses == done[1].losses
    weights = [(tmp_path / n / "adapter_model.safetensors").read_bytes() for n in ("1", "2")]
    assert weights[0] == weights[1]
    assert done[0].tokens == steady.tokens
    # The gradient says most at first: steps shrink, and grow again as only noise is left.
    tokens = [0, *(step.tokens for step in done[0].curve)]
    sizes = [after - before for before, after in itertools.pairwise(tokens)]
    assert min(sizes[:20]) < 0.7 * sizes[0]
    assert max(sizes[20:]) > 1.5 * sizes[0]
    assert sum("noise scale" in note for note in done[0].notes) >= 2
    assert done[0].curve[-1].steps == done[0].steps


def test_the_rate_is_lowered_where_dev_gains_nothing(tiny_model: Path, tmp_path: Path) -> None:
    learned = [demonstration("What colour is the sky?", "It is green.")]
    against: list[Example] = [demonstration("What colour is the sky?", "No! Not that.")]
    done = train(
        plan(
            epochs=24,
            plateau_patience=2,
            plateau_factor=0.1,
            dev_every_steps=2,
            lr_schedule="constant_with_warmup",
            warmup_share=0,
        ),
        tiny_model,
        learned,
        parent=None,
        out=tmp_path / "a",
        report=lambda _: None,
        dev=against,
    )
    rates = {f"{step.learning_rate:.0e}" for step in done.curve}
    assert {"1e-02", "1e-03"} <= rates
    first = next(step for step in done.curve if step.learning_rate < 5e-3)
    looks = [step.dev_loss for step in done.curve[: first.step - 1] if step.dev_loss is not None]
    assert min(looks) < min(looks[-2:])
    assert any("learning rate" in note for note in done.notes)
