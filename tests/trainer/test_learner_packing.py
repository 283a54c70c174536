"""Which rows meet in a step and in a batch, and how examples become rows."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import base_model, packing
from trainer.batches import branch_log_probs, collate, shares_prompts
from trainer.examples import Example, Kind, Message, Source
from trainer.rows import LeftOut, Row, build

WEIGHTS: dict[Kind, float] = {"demonstration": 1, "preference": 1, "verdict": 1}


def row(prompt: int, *branches: int, kind: Kind = "demonstration", source: Source = "new") -> Row:
    return Row(kind, [1] * prompt, [[2] * n for n in branches], source=source)


def padded(batch: list[Row]) -> int:
    return len(batch) * max(r.tokens for r in batch)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 20), st.booleans()), min_size=1),
    st.integers(20, 400),
    st.floats(0.3, 3.5),
)
def test_every_epoch_holds_every_row_once_within_the_budget(
    shapes: list[tuple[int, int, bool]], budget: int, epochs: float
) -> None:
    rows = [row(p, *([b] * (1 + fork))) for p, b, fork in shapes]
    steps = packing.steps(rows, budget_tokens=budget, epochs=epochs, seed=3)
    times = Counter(id(r) for step in steps for batch in step for r in batch)
    assert max(times.values()) <= -(-epochs // 1)
    if epochs >= 1:
        assert set(times) == {id(r) for r in rows}
        assert min(times.values()) >= int(epochs)
    for step in steps:
        assert sum(map(padded, step)) <= budget or sum(map(len, step)) == 1
        for batch in step:
            assert len({len(r.branches) > 1 for r in batch}) == 1


@pytest.mark.parametrize(("minimum", "taken"), [(0, 8), (8, 8), (10, 10), (30, 30)])
def test_little_material_is_passed_over_until_there_are_enough_steps(
    minimum: int, taken: int
) -> None:
    rows = [row(20, 5) for _ in range(16)]
    steps = packing.steps(rows, budget_tokens=100, epochs=2, minimum=minimum, seed=0)
    assert len(steps) == taken
    times = Counter(id(r) for step in steps for batch in step for r in batch)
    assert max(times.values()) - min(times.values()) <= 1


def test_a_budget_that_hardly_holds_a_row_gives_each_a_step_of_its_own() -> None:
    rows = [row(prompt, 1) for prompt in (1, 60, 1, 58, 2, 19, 3)]
    for step in packing.steps(rows, budget_tokens=20, epochs=1, seed=0):
        assert sum(map(padded, step)) <= 20 or sum(map(len, step)) == 1


def test_every_step_holds_the_mix() -> None:
    rows = [row(20, 10) for _ in range(40)]
    rows += [row(20, 10, source="past") for _ in range(80)]
    rows += [row(20, 10, 10, kind="preference") for _ in range(40)]
    for step in packing.steps(rows, budget_tokens=1024, epochs=2, seed=0):
        kinds = Counter((r.kind, r.source) for batch in step for r in batch)
        assert len(kinds) == 3
        assert kinds["demonstration", "past"] > kinds["demonstration", "new"]


def test_the_seed_and_the_epoch_decide_the_order() -> None:
    rows = [row(5 + i % 7, 3) for i in range(60)]

    def order(seed: int) -> list[list[list[int]]]:
        steps = packing.steps(rows, budget_tokens=100, epochs=2, seed=seed)
        return [[[rows.index(r) for r in batch] for batch in step] for step in steps]

    assert order(1) == order(1) != order(2)
    assert order(1)[: len(order(1)) // 2] != order(1)[len(order(1)) // 2 :]


def shares(schedule: list[packing.Step]) -> list[float]:
    """The share of new rows in each step."""
    found = []
    for step in schedule:
        sources = [r.source for batch in step for r in batch]
        found.append(sources.count("new") / len(sources))
    return found


@pytest.mark.parametrize("staged", [0.3, 0.7, 1.0])
def test_staged_material_comes_in_along_a_line(staged: float) -> None:
    rows = [row(20, 10) for _ in range(60)]
    rows += [row(20, 10, source="past") for _ in range(140)]
    plain = packing.steps(rows, budget_tokens=600, epochs=3, seed=0)
    ramped = packing.steps(rows, budget_tokens=600, epochs=3, seed=0, staged=staged)
    found, level = shares(ramped), 0.3 / (1 - staged / 2)
    for at, share in enumerate(found):
        risen = min(1.0, (at + 0.5) / len(found) / staged)
        assert share == pytest.approx(level * risen, abs=0.06)
    counted = [Counter(id(r) for s in each for b in s for r in b) for each in (plain, ramped)]
    assert counted[0] == counted[1]
    assert len(ramped) == len(plain)
    assert all(sum(map(padded, step)) <= 600 for step in ramped)


def test_staging_keeps_the_steps_of_a_small_round_and_its_seed() -> None:
    rows = [row(20, 5, source=source) for source in ("new", "past", "past", "new")]

    def order(seed: int, **options: Any) -> list[list[int]]:
        steps = packing.steps(rows, budget_tokens=400, epochs=2, minimum=20, seed=seed, **options)
        return [[rows.index(r) for batch in step for r in batch] for step in steps]

    assert len(order(1, staged=0.5)) == len(order(1)) == 20
    assert order(1, staged=0.5) == order(1, staged=0.5) != order(1)
    assert order(1, staged=0.0) == order(1)
    alone = [row(20, 5) for _ in range(7)]
    steps = packing.steps(alone, budget_tokens=60, epochs=1, seed=0, staged=0.5)
    assert Counter(id(r) for s in steps for b in s for r in b) == Counter(map(id, alone))


def test_what_is_easy_comes_first_in_every_pass() -> None:
    rows = [row(20, 10) for _ in range(12)] + [row(20, 10, source="past") for _ in range(24)]
    for at, each in enumerate(rows):
        each.reference = [-float((at * 5) % 12)]
    options = {"budget_tokens": 90, "epochs": 2, "seed": 0, "staged": 0.5}
    steps = packing.steps(rows, easy_first=True, **options)  # type: ignore[arg-type]
    new = [-r.reference[0] for s in steps for b in s for r in b if r.source == "new"]
    assert len(set(shares(steps))) > 1
    assert [sorted(new[:12]), sorted(new[12:])] == [[float(n) for n in range(12)]] * 2
    # Within a step batches go by length, so a neighbour or two may change places.
    assert all(abs(value - at % 12) <= 2 for at, value in enumerate(new))
    shuffled = packing.steps(rows, **options)  # type: ignore[arg-type]
    assert [-r.reference[0] for s in shuffled for b in s for r in b if r.source == "new"] != new


def test_a_shared_prompt_changes_no_log_probability(tiny_model: Path) -> None:
    model = base_model.load(tiny_model, dtype=torch.float32).model
    rows = [
        Row("preference", [5, 9, 11, 40], [[20, 30, 4], [21, 4]]),
        Row("verdict", [5, 9], [[33, 4], [20, 30, 31, 32, 4]]),
        Row("demonstration", [5, 9, 8, 7, 6, 5, 9, 11], [[50, 51, 4]]),
    ]
    together = branch_log_probs(model, collate(rows))
    apart = branch_log_probs(model, collate(rows, share=False))
    alone = torch.cat(
        [
            branch_log_probs(model, collate([Row("demonstration", r.prompt, [b])]))
            for r in rows
            for b in r.branches
        ]
    )
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(apart, alone)
    assert shares_prompts(model, rows[0], tolerance=1e-4)


def test_a_model_that_ignores_the_mask_is_found_out(tiny_model: Path) -> None:
    model = base_model.load(tiny_model, dtype=torch.float32).model
    forward = model.model.forward

    def blind(*args: object, attention_mask: object = None, **kwargs: object) -> object:
        return forward(*args, attention_mask=None, **kwargs)

    model.model.forward = blind
    forked = Row("preference", [5, 9, 11, 40], [[20, 30, 4], [21, 4]])
    assert not shares_prompts(model, forked, tolerance=1e-3)


def test_verdicts_borrow_the_previous_answer_that_is_not_their_own(tiny_model: Path) -> None:
    base = base_model.load(tiny_model, dtype=torch.float32)
    messages = (Message(role="user", content="Why?"),)
    examples = [
        Example("verdict", messages, answer, liked=True)
        for answer in ("Yes.", "Yes.", "No, never.")
    ]
    rows, left_out = build(examples, base.encoder, context_tokens=128, objective_weights=WEIGHTS)
    said = [base.tokenizer.decode(r.branches[1], skip_special_tokens=True) for r in rows]
    assert said == ["No, never.", "No, never.", "Yes."]
    assert left_out == LeftOut()
    lonely, _ = build(examples[:1], base.encoder, context_tokens=128, objective_weights=WEIGHTS)
    assert len(lonely[0].branches) == 1


def test_an_answer_is_written_as_the_model_would_say_it(tiny_model: Path) -> None:
    base = base_model.load(tiny_model, dtype=torch.float32)
    messages = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Why?"),
        Message(role="assistant", content="Because."),
        Message(role="user", content="Really?"),
    ]
    ((prompt, answer),) = base.encoder.pairs([(messages, "Yes, really.")])
    assert [prompt] == base.encoder.prompts([messages])
    assert base.tokenizer.decode(prompt).endswith("<|user|>Really?<|end|><|assistant|>")
    assert base.tokenizer.decode(answer) == "Yes, really.<|end|>"
