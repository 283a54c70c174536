"""Text without a conversation around it: every token is learned, and checkpoints are kept on the way."""

import math
from pathlib import Path

import pytest

from feedback.errors import Invalid
from trainer.examples import Example
from trainer.learner import train
from trainer.policy import Policy
from trainer.settings import Plan

TEXT = "The station is behind the old market."


def plan(**changes: float) -> Plan:
    fixed = {"rank": 8, "alpha": 16, "minimum_steps": 0, "threads": 1, "learning_rate": 1e-2}
    return Plan.model_validate({"base_model": "tiny", **fixed, "epochs": 8.0, **changes})


def text(said: str = TEXT) -> Example:
    return Example("demonstration", (), said, text=True, document="book#0.0 sha256:ab")


def test_the_loss_is_the_mean_over_every_token_of_the_text(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Held against the model's own cross-entropy, with the end token before the text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = [tokenizer.eos_token_id, *tokenizer(TEXT, add_special_tokens=False)["input_ids"]]
    with torch.inference_mode():
        expected = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
    losses: list[float] = []
    train(
        plan(epochs=1.0),
        tiny_model,
        [text()],
        parent=None,
        out=tmp_path / "a",
        report=lambda step: losses.append(step.loss),
    )
    assert losses[0] == pytest.approx(expected, abs=1e-4)
    policy = Policy.load(tiny_model, threads=1)
    [found] = policy.text_likelihoods([TEXT], adapter=None)
    assert -found.per_token == pytest.approx(expected, abs=1e-4)
    assert policy.count_tokens([TEXT]) == [found.tokens] == [len(ids) - 1]


def test_a_text_becomes_likelier_by_being_read(tiny_model: Path, tmp_path: Path) -> None:
    train(plan(), tiny_model, [text()], parent=None, out=tmp_path / "a", report=lambda _: None)
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("read", tmp_path / "a")
    [before] = policy.text_likelihoods([TEXT], adapter=None)
    [after] = policy.text_likelihoods([TEXT], adapter="read")
    assert math.exp(-after.per_token) < 0.5 * math.exp(-before.per_token)


def test_as_much_of_a_text_is_foretold_as_the_model_would_have_said(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Held against the model's own choice of each token, with the end token before the text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    train(plan(epochs=3.0), tiny_model, [text()], parent=None, out=tmp_path, report=lambda _: None)
    policy = Policy.load(tiny_model, threads=1)
    policy.attach("read", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.load_adapter(str(tmp_path))
    texts = [TEXT, "Seven apples."]
    expected = []
    for said in texts:
        ids = [tokenizer.eos_token_id, *tokenizer(said, add_special_tokens=False)["input_ids"]]
        with torch.inference_mode():
            chosen = model(torch.tensor([ids])).logits[0, :-1].argmax(-1).tolist()
        expected.append(sum(a == b for a, b in zip(chosen, ids[1:], strict=True)) / len(chosen))
    assert policy.foretold(texts, adapter="read") == pytest.approx(expected)
    assert 0 < expected[0] < 1
    assert policy.foretold(texts[:1], adapter=None)[0] < expected[0]


def test_a_text_longer_than_the_context_or_empty_is_refused(tiny_model: Path) -> None:
    policy = Policy.load(tiny_model, threads=1)
    with pytest.raises(Invalid, match="longer than the model's context"):
        policy.text_likelihoods(["word " * 200], adapter=None)
    with pytest.raises(Invalid, match="no token"):
        policy.text_likelihoods([""], adapter=None)


def test_checkpoints_are_the_adapter_as_it_was_at_their_step(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Keeping them changes nothing, and each is what a reader of the text likes more."""

    def keep(step: int, steps: int) -> Path | None:
        assert steps == 8
        return tmp_path / f"at-{step}" if step in (2, 5) else None

    arguments = (plan(), tiny_model, [text()])
    train(*arguments, parent=None, out=tmp_path / "end", report=lambda _: None, keep_at=keep)
    train(*arguments, parent=None, out=tmp_path / "alone", report=lambda _: None)
    name = "adapter_model.safetensors"
    assert (tmp_path / "end" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    policy = Policy.load(tiny_model, threads=1)
    liked = []
    for place in ("at-2", "at-5", "end"):
        assert len(list((tmp_path / place).iterdir())) == 2
        policy.attach(place, tmp_path / place)
        liked += [each.nats for each in policy.text_likelihoods([TEXT], adapter=place)]
    assert liked == sorted(liked)
    assert len(set(liked)) == 3
