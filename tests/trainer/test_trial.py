"""A model is tried on the deployment's own data, from its tokenizer to a round."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from feedback.harvest import Word
from tests import random_llama
from tests.trainer.test_template import NO_SYSTEM
from trainer import metrics, trial
from trainer.examples import Message
from trainer.own_data import Known, OwnData
from trainer.policy import Policy
from trainer.settings import Plan
from trainer.suites import Item
from trainer.trial import Trial

DEAF = random_llama.TEMPLATE.replace("in messages", "in messages if message['role'] != 'system'")
"""Leaves out what the system says."""
FACTS = {"sky": "blue", "letter": "Ana", "apples": "seven", "station": "market"}


def _ask(thing: str, person: int) -> tuple[Message, ...]:
    start = ("What of the", "Tell me of the", "And the")[person % 3]
    return (Message(role="user", content=f"{start} {thing}?"),)


def _data() -> OwnData:
    said = [(_ask(thing, n), answer, f"p{n}") for n in range(4) for thing, answer in FACTS.items()]
    return OwnData(
        known=tuple(Known(messages, answer, person) for messages, answer, person in said),
        words=tuple(
            Word(
                feedback_id=f"fbk_{at}",
                person_id=person,
                messages=tuple(dict(turn) for turn in messages),  # type: ignore[arg-type]
                answer="I do not know.",
                adapter_id="base",
                rating=None,
                correction=answer,
                accepted_by="reviewer",
                worse=(),
            )
            for at, (messages, answer, person) in enumerate(said)
        ),
        past=(),
        general=(),
        protected=tuple(Item(f"i{n}", "s", _ask(thing, 0), "zzz") for n, thing in enumerate(FACTS)),
    )


def _plan(**values: object) -> Plan:
    return Plan(rank=8, alpha=16, threads=1, batch_tokens=512, max_new_tokens=8).model_copy(
        update={"replay_share": 0.0, "learning_rate": 2e-2, "minimum_steps": 60, **values}
    )


def test_a_trial_round_learns_what_the_model_did_not_know(tiny_model: Path) -> None:
    data, told = _data(), []
    chosen = Trial(_plan(), few_shot=2, folds=2)
    found = trial.measure(
        str(tiny_model), data, chosen, lambda what, done: told.append((what, done))
    )
    assert found.error is None
    assert found.baseline == 0
    assert found.trial is not None and found.trial > 0.5
    assert found.forgotten == 0  # it knew none of the protected items
    assert set(found.marks.kept) == {0}
    assert len(found.marks.right) == len(data.known)
    assert found.trial == sum(found.marks.right) / len(data.known)
    assert found.fit is not None
    assert (found.fit.round_trips, found.fit.fitting_share) == (1, 1)
    assert found.fit.context_tokens == 128
    assert found.fit.tokens_per_word > 1
    assert found.fit.system_turns == "own"
    assert [done for _, done in told] == sorted(done for _, done in told)
    policy = Policy.load(tiny_model, threads=1)
    rows = [(each.messages, each.target) for each in data.known]
    likely = policy.likelihoods(rows, adapter=None)
    assert found.perplexity == pytest.approx(metrics.perplexity(likely))


def test_without_a_trial_everything_is_answered_as_it_comes(tiny_model: Path) -> None:
    found = trial.measure(
        str(tiny_model), _data(), Trial(_plan(), few_shot=0, folds=0), lambda *_: None
    )
    assert (found.trial, found.forgotten) == (None, None)
    assert found.score == found.baseline == 0
    assert found.answer_seconds > 0


def test_a_fold_never_sees_the_words_of_its_own_people() -> None:
    data = _data()
    chosen = Trial(_plan(), few_shot=3, folds=2)
    for part in trial.held_out(data, chosen):
        held = {data.known[at].cluster for at in part}
        assert not held & {row.cluster for row in trial._training(part, data, chosen)}
        for at in part:
            shown = trial._with_examples(at, part, data, chosen)
            assert len(shown) == 2 * 3 + 1
            assert shown[-1] == data.known[at].messages[-1]


def test_a_model_that_cannot_be_used_says_why_and_stops_nobody(
    tiny_model: Path, tmp_path: Path
) -> None:
    mute = tmp_path / "mute"
    shutil.copytree(tiny_model, mute)
    (mute / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((mute / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (mute / "tokenizer_config.json").write_text(json.dumps(config))
    chosen = Trial(_plan(), few_shot=0, folds=0)
    found = trial.measure(str(mute), _data(), chosen, lambda *_: None)
    assert found.error is not None and "chat template" in found.error
    nowhere = trial.measure(str(tmp_path / "nowhere"), _data(), chosen, lambda *_: None)
    assert nowhere.error is not None and "folder" in nowhere.error
    (mute / "model.safetensors").write_bytes(b"torn")
    torn = trial.measure(str(mute), _data(), chosen, lambda *_: None)
    assert torn.error is not None and "weights cannot be read (Safetensor" in torn.error


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (MemoryError(), "Memory ran out"),
        (RuntimeError("CUDA driver\nis gone"), "RuntimeError: CUDA driver is gone"),
        (KeyError(), "KeyError:"),
    ],
)
def test_a_model_that_breaks_while_it_is_tried_says_why_and_stops_nobody(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: str
) -> None:
    def answers(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(Policy, "answers", answers)
    found = trial.measure(
        str(tiny_model), _data(), Trial(_plan(), few_shot=0, folds=0), lambda *_: None
    )
    assert found.error is not None and found.error.startswith(told)


@pytest.mark.parametrize(
    ("template", "system", "fitting"),
    [(NO_SYSTEM, "folded", 12 / 16), (DEAF, "dropped", 1), ("{% for %}", "folded", 0)],
)
def test_a_template_that_refuses_something_is_tried_and_told(
    tiny_model: Path, tmp_path: Path, template: str, system: str, fitting: float
) -> None:
    strict = shutil.copytree(tiny_model, tmp_path / "strict")
    (strict / "chat_template.jinja").write_text(template)
    data = _data()
    said = Message(role="system", content="Be brief.")
    turns = [((said,), (said,), (), (data.known[0].messages[0],))[n % 4] for n in range(16)]
    known = tuple(
        replace(each, messages=(*before, *each.messages))
        for each, before in zip(data.known, turns, strict=True)
    )
    words = tuple(
        word._replace(messages=[dict(turn) for turn in each.messages])  # type: ignore[arg-type]
        for word, each in zip(data.words, known, strict=True)
    )
    found = trial.measure(
        str(strict),
        replace(data, known=known, words=words),
        Trial(_plan(minimum_steps=1, epochs=1e-9), few_shot=1, folds=2),
        lambda *_: None,
    )
    if not fitting:
        assert found.error is not None
        assert "or its chat template refuses them" in found.error
        return
    assert found.error is None and found.fit is not None
    assert (found.fit.system_turns, found.fit.fitting_share) == (system, fitting)
