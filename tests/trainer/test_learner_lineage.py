"""One lineage: what a stage learned is what the next one starts from and is judged against."""

import math
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Invalid
from tests.serving.engines import tiny
from tests.trainer.rounds import LETTER, SKY, ask, demonstration, learn
from trainer.examples import Example
from trainer.policy import Policy

PAIR = Example("preference", ask(LETTER), "Ana.", rejected="I do not know.")
STAGE = [demonstration(SKY, "It is green."), demonstration(LETTER, "Ana.")]


def likelihood(policy: Policy, answer: str, adapter: str | None) -> float:
    return policy.log_likelihood([(ask(LETTER), answer)], adapter=adapter)[0]


def test_the_first_dpo_loss_after_a_stage_of_demonstrations_is_ln_2(
    tiny_model: Path, tmp_path: Path
) -> None:
    learn(tiny_model, STAGE, tmp_path / "sft", epochs=30)
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("sft", tmp_path / "sft")
    # The stage moved the margin, so against the base model the loss would be another.
    margins = [
        likelihood(policy, "Ana.", name) - likelihood(policy, "I do not know.", name)
        for name in (None, "sft")
    ]
    assert margins[1] - margins[0] > 1
    done = learn(
        tiny_model,
        [PAIR],
        tmp_path / "dpo",
        parent=tmp_path / "sft",
        preference_weight=1.0,
        learning_rate=1e-3,
    )
    beside = -likelihood(policy, "Ana.", "sft")  # the preferred answer's own likelihood
    assert done.losses[0] - beside == pytest.approx(math.log(2), abs=1e-4)
    policy.attach("dpo", tmp_path / "dpo")
    said = policy.answers([ask(SKY)], adapter="dpo", max_new_tokens=12)
    assert said == ["It is green."]  # what was learned before is still there


@pytest.mark.parametrize("liked", [True, False])
def test_a_lone_thumb_changes_what_the_model_prefers(
    tiny_model: Path, tmp_path: Path, liked: bool
) -> None:
    learn(tiny_model, STAGE, tmp_path / "parent", epochs=4)
    thumb = [Example("verdict", ask(LETTER), "I do not know.", liked=liked)]
    done = learn(
        tiny_model,
        thumb,
        tmp_path / "thumb",
        parent=tmp_path / "parent",
        epochs=20,
        learning_rate=2e-3,
    )
    assert done.losses[0] == pytest.approx(0.05 * 0.5, abs=1e-5)  # its reference is its parent
    policy = Policy.load(tiny_model, threads=1)
    margins = []
    for name in ("parent", "thumb"):
        policy.attach(name, tmp_path / name)
        margins.append(
            likelihood(policy, "I do not know.", name) - likelihood(policy, "Ana.", name)
        )
    moved = margins[1] - margins[0]
    assert moved > 0.2 if liked else moved < -0.2


@pytest.mark.parametrize("shape", [{"layers": 1}, {"hidden": 32}], ids=str)
@pytest.mark.filterwarnings("ignore")  # PEFT warns of what is refused here
def test_a_parent_that_does_not_fit_is_refused_though_nobody_compared_the_bases(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    examples = [demonstration(SKY, "It is green.")]
    learn(tiny.build_base(tmp_path / "one"), examples, tmp_path / "parent", epochs=1)
    other = tiny.build_base(tmp_path / "other", **shape)
    with pytest.raises(Invalid, match="adapter parent does not fit the base model tiny"):
        learn(other, examples, tmp_path / "child", parent=tmp_path / "parent")
    assert not (tmp_path / "child").exists()
