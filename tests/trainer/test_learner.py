"""What one round of learning does to a model, and what it leaves on the disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Invalid
from tests.trainer import rounds
from tests.trainer.rounds import APPLES, LETTER, SKY, ask, demonstration
from trainer.curve import Progress
from trainer.examples import Example, Kind
from trainer.learner import Cancelled, Trained, train
from trainer.policy import Policy
from trainer.settings import Plan

PASSES = {"epochs": 12.0}


def plan(**changes: Any) -> Plan:
    return rounds.plan(**{**PASSES, **changes})


def learn(model: Path, examples: list[Example], out: Path, **changes: Any) -> Trained:
    return rounds.learn(model, examples, out, **{**PASSES, **changes})


def test_a_demonstration_becomes_the_answer(tiny_model: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    examples = [
        demonstration(SKY, "It is green."),
        demonstration(LETTER, "Ana did.", source="past"),
        demonstration(APPLES, "Seven.", source="general"),
    ]
    done = train(
        plan(epochs=30),
        tiny_model,
        examples,
        parent=None,
        out=tmp_path / "a",
        report=reports.append,
    )
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("adp_a", tmp_path / "a")
    said = policy.answers([ask(SKY), ask(LETTER), ask(APPLES)], adapter="adp_a", max_new_tokens=12)
    assert said == ["It is green.", "Ana did.", "Seven."]
    assert done.losses[-1] == done.loss < done.losses[0] / 4
    assert [r.step for r in reports] == list(range(1, done.steps + 1))
    assert reports[-1].steps == done.steps == len(done.losses)
    assert reports[-1].tokens == done.tokens
    assert 0 < min(r.learning_rate for r in reports) < max(r.learning_rate for r in reports) <= 1e-2
    assert set(done.objectives) == {"demonstration"}


def test_a_preference_widens_the_margin_and_raises_the_chosen_answer(
    tiny_model: Path, tmp_path: Path
) -> None:
    examples = [
        Example("preference", ask(SKY), "It is blue.", rejected="Grey."),
        Example("preference", ask(LETTER), "Ana.", rejected="I do not know."),
    ]
    learn(tiny_model, examples, tmp_path / "a", preference_weight=1.0)
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("adp_a", tmp_path / "a")
    for example in examples:
        pair = [(example.messages, example.target), (example.messages, example.rejected or "")]
        before = policy.log_likelihood(pair, adapter=None)
        after = policy.log_likelihood(pair, adapter="adp_a")
        assert after[0] > before[0]
        assert after[0] - after[1] > before[0] - before[1] + 0.5


def test_a_disliked_answer_becomes_less_likely_and_a_liked_one_more(
    tiny_model: Path, tmp_path: Path
) -> None:
    liked = Example("verdict", ask(SKY), "It is blue.", liked=True)
    disliked = Example("verdict", ask(LETTER), "I do not know.", liked=False)
    done = learn(tiny_model, [liked, disliked], tmp_path / "a", verdict_weight=1.0)
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("adp_a", tmp_path / "a")
    pairs = [(e.messages, e.target) for e in (liked, disliked)]
    before = policy.log_likelihood(pairs, adapter=None)
    after = policy.log_likelihood(pairs, adapter="adp_a")
    assert after[0] > before[0] + 0.1
    assert after[1] < before[1] - 0.1
    assert done.objectives["verdict"] < 0.5


def test_all_objectives_learn_in_one_pass_and_twice_the_same(
    tiny_model: Path, tmp_path: Path
) -> None:
    examples = [
        demonstration(SKY, "It is green."),
        Example("preference", ask(LETTER), "Ana.", rejected="I do not know."),
        Example("verdict", ask(APPLES), "Seven apples.", liked=True),
        Example("verdict", ask("Where?"), "There.", liked=False, weight=0.3),
    ]
    runs = [
        learn(tiny_model, examples, tmp_path / name, batch_tokens=64, dropout=0.1, epochs=2.5)
        for name in ("a", "b")
    ]
    assert set(runs[0].objectives) == {"demonstration", "preference", "verdict"}
    assert runs[0].losses == runs[1].losses
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_as_many_lanes_as_there_are_give_the_same_weights(
    tiny_model: Path, tmp_path: Path, dropout: float
) -> None:
    examples = [
        demonstration(SKY, "It is green."),
        demonstration("Why?", "Because."),
        demonstration(LETTER, "Ana wrote it, and she left it behind the old market."),
        Example("preference", ask(LETTER), "Ana.", rejected="I do not know."),
        Example("verdict", ask(APPLES), "Seven apples.", liked=True),
        Example("verdict", ask("Where?"), "There.", liked=False, weight=0.3),
    ]
    for threads in (1, 2, 3):
        out = tmp_path / str(threads)
        done = learn(tiny_model, examples, out, threads=threads, epochs=3, dropout=dropout)
        assert set(done.objectives) == {"demonstration", "preference", "verdict"}
    written = [(tmp_path / n / "adapter_model.safetensors").read_bytes() for n in ("1", "2", "3")]
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize("zero", ["weight", "objective"])
def test_what_weighs_nothing_has_no_effect(tiny_model: Path, tmp_path: Path, zero: str) -> None:
    kept = [demonstration(SKY, "It is green."), demonstration(LETTER, "Ana did.")]
    weight = 0.0 if zero == "weight" else 1.0
    ignored = [
        Example("verdict", ask(APPLES), "Seven.", liked=True, weight=weight),
        Example("preference", ask(APPLES), "Seven.", rejected="Two.", weight=weight),
    ]
    changes: dict[str, Any] = {}
    if zero == "objective":
        changes = {"verdict_weight": 0.0, "preference_weight": 0.0}
    learn(tiny_model, kept, tmp_path / "a", epochs=2)
    learn(tiny_model, [*ignored, *kept], tmp_path / "b", epochs=2, **changes)
    weights = [(tmp_path / n / "adapter_model.safetensors").read_bytes() for n in ("a", "b")]
    assert weights[0] == weights[1]


def test_a_light_word_counts_less_than_a_trusted_one(tiny_model: Path, tmp_path: Path) -> None:
    examples = [demonstration(SKY, "Green.", weight=1.0), demonstration(SKY, "Red.", weight=0.1)]
    learn(tiny_model, examples, tmp_path / "a")
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("adp_a", tmp_path / "a")
    assert policy.answers([ask(SKY)], adapter="adp_a", max_new_tokens=8) == ["Green."]


def test_a_round_continues_from_its_parents_weights(tiny_model: Path, tmp_path: Path) -> None:
    examples = [demonstration(SKY, "It is green.")]
    first = learn(tiny_model, examples, tmp_path / "a", epochs=30)
    second = learn(
        tiny_model, examples, tmp_path / "b", parent=tmp_path / "a", rank=2, dropout=0.05
    )
    assert second.losses[0] < first.losses[0] / 4
    config = json.loads((tmp_path / "b" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_dropout"]) == (8, 0.05)
    still = learn(
        tiny_model, examples, tmp_path / "c", parent=tmp_path / "a", epochs=1, learning_rate=1e-12
    )
    policy = Policy.load(tiny_model, threads=1)
    for name in "ac":
        policy.attach(name, tmp_path / name)
    assert policy.drift([ask(SKY)], ["It is green."], new="c", old="a")[0] < 1e-6
    assert still.steps == 1


def test_verdicts_are_judged_against_the_parent(tiny_model: Path, tmp_path: Path) -> None:
    liked = [Example("verdict", ask(SKY), "It is blue.", liked=True)]
    learn(tiny_model, [demonstration(SKY, "It is blue.")], tmp_path / "a")
    done = learn(tiny_model, liked, tmp_path / "b", parent=tmp_path / "a")
    # 1 − σ(0): where training starts, the policy is its own reference.
    assert done.losses[0] == pytest.approx(plan().verdict_weight * 0.5, abs=1e-5)


def test_leaves_exactly_two_files_that_name_no_folder_of_this_machine(
    tiny_model: Path, tmp_path: Path
) -> None:
    learn(tiny_model, [demonstration(SKY, "Green.")], tmp_path / "a", epochs=1)
    learn(tiny_model, [demonstration(SKY, "Red.")], tmp_path / "b", parent=tmp_path / "a", epochs=1)
    for name in "ab":
        files = sorted(p.name for p in (tmp_path / name).iterdir())
        assert files == ["adapter_config.json", "adapter_model.safetensors"]
        config = (tmp_path / name / "adapter_config.json").read_text()
        assert str(tiny_model) not in config
        assert json.loads(config)["base_model_name_or_path"] == "tiny"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant_with_warmup"])
def test_no_step_is_taken_at_a_rate_of_zero(
    tiny_model: Path, tmp_path: Path, schedule: str
) -> None:
    rates: list[float] = []
    train(
        plan(lr_schedule=schedule, warmup_share=0.2, epochs=10),
        tiny_model,
        [demonstration(SKY, "Green.")],
        parent=None,
        out=tmp_path / "a",
        report=lambda p: rates.append(p.learning_rate),
    )
    assert rates[0] == pytest.approx(5e-3)  # half of two steps of warming up
    assert max(rates) == rates[1] == pytest.approx(1e-2)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] > 0


def test_a_cancelled_round_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    with pytest.raises(Cancelled):
        train(
            plan(),
            tiny_model,
            [demonstration(SKY, "Green.")],
            parent=None,
            out=tmp_path / "a",
            report=lambda p: steps.append(p.step),
            should_stop=lambda: len(steps) >= 2,
        )
    assert steps == [1, 2]
    assert not (tmp_path / "a").exists()


def test_refuses_to_learn_from_nothing(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no examples"):
        learn(tiny_model, [], tmp_path / "a")
    with pytest.raises(Invalid, match="longer than the model's context"):
        learn(tiny_model, [demonstration("x" * 400, "y")], tmp_path / "a")


def test_skips_and_counts_what_does_not_fit_the_context(tiny_model: Path, tmp_path: Path) -> None:
    examples = [demonstration("xyzq " * 60, "y"), demonstration(SKY, "Green.")]
    done = learn(tiny_model, examples, tmp_path / "a", epochs=1)
    assert done.left_out.too_long == 1


def test_refuses_a_parent_that_is_not_in_safetensors(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "adapter_config.json").write_text("{}")
    (tmp_path / "old" / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(Invalid, match="safetensors"):
        learn(tiny_model, [demonstration(SKY, "Green.")], tmp_path / "a", parent=tmp_path / "old")


def test_says_so_when_training_diverges(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="diverged"):
        learn(
            tiny_model,
            [demonstration(SKY, "Green.")],
            tmp_path / "a",
            learning_rate=1e30,
            warmup_share=0.0,
        )
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp32", "auto"])
def test_learns_in_every_precision(tiny_model: Path, tmp_path: Path, precision: str) -> None:
    examples: list[Example] = [
        demonstration(SKY, "It is green."),
        Example("preference", ask(LETTER), "Ana.", rejected="I do not know."),
    ]
    done = learn(tiny_model, examples, tmp_path / "a", precision=precision, epochs=20)
    assert done.losses[-1] < done.losses[0] / 3


@pytest.mark.parametrize("kind", ["preference", "verdict"])
def test_refuses_an_example_that_lacks_its_half(
    tiny_model: Path, tmp_path: Path, kind: Kind
) -> None:
    with pytest.raises(Invalid):
        learn(tiny_model, [Example(kind, ask(SKY), "Green.")], tmp_path / "a")
