"""What a policy answers, and how it scores answers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from feedback.errors import Conflict, Invalid, NotFound
from trainer import adapter_folder, base_model
from trainer.examples import Message
from trainer.policy import Policy
from trainer.settings import Plan

QUESTIONS = [
    "What colour is the sky?",
    "Who wrote the letter, and where is the station behind the old market?",
    "Why?",
    "How many apples are there today?",
    "a b c d e f g",
    "Where?",
]
CONVERSATIONS = [[Message(role="user", content=q)] for q in QUESTIONS]


@pytest.fixture(scope="module")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters that differ from the base and from each other."""
    folders = []
    for seed in (1, 2):
        base = base_model.load(tiny_model, dtype=torch.float32)
        model = adapter_folder.fresh(base.model, Plan(rank=4, alpha=8, seed=seed))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
        folders.append(tmp_path_factory.mktemp("adapter"))
        adapter_folder.write(model, folders[-1], base_model="tiny")
    return folders


@pytest.fixture(scope="module")
def policy(tiny_model: Path, adapters: list[Path]) -> Policy:
    policy = Policy.load(tiny_model, threads=1)
    for name, folder in zip("ab", adapters, strict=True):
        policy.attach(name, folder)
    return policy


def alone(tiny_model: Path, adapter: Path | None) -> tuple[base_model.BaseModel, Any]:
    base = base_model.load(tiny_model, dtype=torch.float32)
    if adapter is None:
        return base, base.model
    return base, adapter_folder.attach(base.model, adapter, "only")


@pytest.mark.parametrize("which", [None, "a", "b"])
def test_answers_equal_those_of_generate(
    tiny_model: Path, adapters: list[Path], policy: Policy, which: str | None
) -> None:
    base, model = alone(tiny_model, None if which is None else adapters["ab".index(which)])
    expected = []
    for ids in base.encoder.prompts(CONVERSATIONS):
        out = model.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=20,
        )
        expected.append(base.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).strip())
    told: list[tuple[int, int]] = []
    said = policy.answers(
        CONVERSATIONS, adapter=which, max_new_tokens=20, report=lambda n, of: told.append((n, of))
    )
    assert said == expected
    assert told[-1] == (6, 6)
    assert len(set(said)) > 1


def test_batches_change_no_answer(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=20)
    monkeypatch.setattr("trainer.policy._BATCH_TOKENS", 1)
    assert policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=20) == at_once


def test_an_answer_may_fill_the_context_without_cutting_others_short(policy: Policy) -> None:
    long = [Message(role="user", content="a b c d e f g h i j k l m n o p q r s t u" * 2)]
    short = policy.answers(CONVERSATIONS[:1], adapter="b", max_new_tokens=80)
    both = policy.answers([long, *CONVERSATIONS[:1]], adapter="b", max_new_tokens=80)
    assert both[1:] == short
    full = [[Message(role="user", content="x" * 200)]]
    assert policy.answers(full, adapter=None, max_new_tokens=1) == [""]
    assert policy.fits([(long, "yes"), ([Message(role="user", content="x" * 200)], "y")]) == [
        True,
        False,
    ]


def test_log_likelihood_is_the_mean_over_the_answer_and_its_end(
    tiny_model: Path, adapters: list[Path], policy: Policy
) -> None:
    base, model = alone(tiny_model, adapters[0])
    answers = ["Blue.", "Ana", "", "Seven apples.", "x", "There."]
    rows = list(zip(CONVERSATIONS, answers, strict=True))
    for (prompt, answer), found in zip(
        base.encoder.pairs(rows), policy.log_likelihood(rows, adapter="a"), strict=True
    ):
        assert answer[-1] == base.tokenizer.eos_token_id
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        each = logits[range(len(answer)), answer]
        assert found == pytest.approx(each.mean().item(), rel=1e-4)


def test_drift_is_the_divergence_over_the_whole_vocabulary(
    tiny_model: Path, adapters: list[Path], policy: Policy
) -> None:
    answers = ["Blue.", "Ana", "", "Seven apples.", "x", "There."]
    base, old = alone(tiny_model, None)
    _, new = alone(tiny_model, adapters[0])
    rows = list(zip(CONVERSATIONS, answers, strict=True))
    found = policy.drift(CONVERSATIONS, answers, new="a", old=None)
    for (prompt, answer), kl in zip(base.encoder.pairs(rows), found, strict=True):
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            p, q = (
                m(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for m in (new, old)
            )
        assert kl == pytest.approx((p.exp() * (p - q)).sum(-1).mean().item(), rel=1e-4)
    assert policy.drift(CONVERSATIONS, answers, new="b", old="b") == [0.0] * 6
    assert policy.drift(CONVERSATIONS, answers, new="a", old="b") != found


def test_adapters_stay_apart(policy: Policy, tiny_model: Path) -> None:
    base = Policy.load(tiny_model, threads=1).answers(CONVERSATIONS, adapter=None, max_new_tokens=9)
    assert policy.answers(CONVERSATIONS, adapter=None, max_new_tokens=9) == base
    a = policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=9)
    assert policy.answers(CONVERSATIONS, adapter="b", max_new_tokens=9) != a
    assert policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=9) == a != base


def test_refuses_names_that_are_taken_or_unknown(policy: Policy, adapters: list[Path]) -> None:
    with pytest.raises(Conflict):
        policy.attach("a", adapters[0])
    with pytest.raises(NotFound):
        policy.answers(CONVERSATIONS, adapter="nobody", max_new_tokens=1)
    with pytest.raises(Invalid):
        policy.attach("c", adapters[0].parent)


def test_answers_nothing_to_nobody(policy: Policy) -> None:
    assert policy.answers([], adapter=None, max_new_tokens=3) == []
    assert policy.log_likelihood([], adapter=None) == []


@pytest.mark.parametrize("lanes", [1, 3])
def test_no_guess_changes_an_answer(
    tiny_model: Path, adapters: list[Path], policy: Policy, lanes: int
) -> None:
    expected = policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=20)
    others = policy.answers(CONVERSATIONS, adapter="b", max_new_tokens=20)
    several = Policy(base_model.load(tiny_model, dtype=torch.float32), lanes=lanes)
    several.attach("a", adapters[0])
    halves: list[str | None] = [text[: len(text) // 2] for text in expected]
    mixed = [None, *others[:2], *expected[3:5], ""]
    longer = [text + " and more, and more, and more than there is room for" for text in expected]
    told: list[tuple[int, int]] = []
    for guesses in (expected, others, halves, mixed, longer):
        said = several.answers(
            CONVERSATIONS,
            adapter="a",
            max_new_tokens=20,
            guesses=guesses,
            report=lambda n, of: told.append((n, of)),
        )
        assert said == expected
        assert told.pop() == (6, 6)


def test_a_right_guess_is_not_said_again_word_by_word(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=20)
    steps: list[int] = []
    greedy = policy._greedy

    def counting(model: Any, prompts: list[list[int]], left: list[int]) -> list[list[int]]:
        steps.append(max(left))
        return greedy(model, prompts, left)

    monkeypatch.setattr(policy, "_greedy", counting)
    policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=20)
    assert steps == [20]
    steps.clear()
    policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=20, guesses=said)
    assert sum(steps) < 20


def short_of_memory(monkeypatch: pytest.MonkeyPatch, *, rows: int) -> list[int]:
    """Computing more than so many rows at once fails; returns how many were tried, each time."""
    forward = LlamaForCausalLM.forward
    tried: list[int] = []

    def limited(self: LlamaForCausalLM, *given: Any, **named: Any) -> Any:
        tried.append(len(named["input_ids"]))
        if tried[-1] > rows:
            raise MemoryError
        return forward(self, *given, **named)

    monkeypatch.setattr(LlamaForCausalLM, "forward", limited)
    return tried


def test_where_memory_runs_out_it_answers_and_scores_in_smaller_batches(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(guesses: list[str | None] | None = None) -> list[str]:
        return policy.answers(CONVERSATIONS, adapter="a", max_new_tokens=8, guesses=guesses)

    def scored() -> list[float]:
        rows = [(each, "Yes.") for each in CONVERSATIONS]
        return policy.log_likelihood(rows, adapter="a")

    said, likely = asked(), scored()
    tried = short_of_memory(monkeypatch, rows=2)
    for found in (asked(), asked([*said[:-1], None])):
        assert found == said
    assert scored() == pytest.approx(likely, abs=1e-5)
    assert max(tried) == 6 and {1, 2} & set(tried)


def test_a_single_row_that_does_not_fit_is_told(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, rows=0)
    with pytest.raises(MemoryError):
        policy.answers(CONVERSATIONS, adapter=None, max_new_tokens=8)
    with pytest.raises(MemoryError):
        policy.log_likelihood([(CONVERSATIONS[0], "Yes.")], adapter=None)
