"""The steps as they are taken: merged, split, cut finer, and taken up in the middle."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import packing
from trainer.course import Course
from trainer.faults import OutOfMemory
from trainer.packing import Step
from trainer.rows import Row

ROWS = [Row("demonstration", [1] * (5 + n % 7), [[2] * 3]) for n in range(50)]
ROWS += [Row("preference", [1] * 6, [[2] * (2 + n % 3), [3] * 2]) for n in range(10)]
PLANNED = packing.steps(ROWS, budget_tokens=120, epochs=2, seed=0)


def course(*, halves: bool = False, largest_tokens: int = 8192) -> Course:
    return Course(PLANNED, largest_tokens=largest_tokens, halves=halves, most=4, seed=0)


def ids(parts: list[Step]) -> list[list[list[int]]]:
    return [[[id(row) for row in batch] for batch in step] for step in parts]


def test_a_course_that_nobody_touches_is_the_plan() -> None:
    taken = list(course())
    assert taken == [[step] for step in PLANNED]
    assert all(parts[0] is step for parts, step in zip(taken, PLANNED, strict=True))


@given(st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]), min_size=1, max_size=9), st.booleans())
def test_every_row_is_learned_as_often_whatever_the_size_of_the_steps(
    scales: list[float], halves: bool
) -> None:
    ours, at = course(halves=halves), itertools.cycle(scales)
    times: Counter[int] = Counter()
    before = 0.0
    for parts in ours:
        assert before < ours.position <= ours.planned
        before = ours.position
        assert len(parts) <= 2
        times.update(id(row) for step in parts for batch in step for row in batch)
        ours.scale = next(at)
    assert ours.position == ours.planned
    assert ours.taken == ours.steps <= len(ours)
    assert times == Counter({id(row): 2 for row in ROWS})


def test_a_larger_step_holds_several_and_a_smaller_one_a_like_share() -> None:
    ours = course()
    steps = iter(ours)
    ours.scale = 2.0
    [merged] = next(steps)
    assert Counter(id(r) for b in merged for r in b) == Counter(
        id(r) for step in PLANNED[:2] for b in step for r in b
    )
    assert ours.steps == 1 + -(-(len(PLANNED) - 2) // 2)
    ours.scale = 0.5
    first, second = (next(steps)[0] for _ in range(2))
    tokens = [sum(r.tokens for b in half for r in b) for half in (first, second)]
    assert abs(tokens[0] - tokens[1]) <= 0.3 * sum(tokens)
    assert ours.position == 3


@pytest.mark.parametrize("stop", range(1, 9))
def test_taken_up_anywhere_it_goes_on_alike(stop: int) -> None:
    scales = itertools.cycle([2.0, 0.25, 0.25, 0.5, 1.0])
    ours = course(halves=True)
    whole, states = [], []
    for parts in ours:
        whole.append(ids(parts))
        ours.scale = next(scales)
        states.append(ours.state())
    again = course(halves=True)
    again.restore(states[stop - 1])
    scales = itertools.cycle([2.0, 0.25, 0.25, 0.5, 1.0])
    for _ in range(stop):
        next(scales)
    rest = []
    for parts in again:
        rest.append(ids(parts))
        again.scale = next(scales)
    assert rest == whole[stop:]


def test_no_batch_is_larger_than_it_may_be() -> None:
    for parts in course(largest_tokens=20):
        for batch in parts[0]:
            assert len(batch) * max(row.tokens for row in batch) <= 20 or len(batch) == 1


def test_finer_halves_the_batches_until_every_row_is_alone() -> None:
    ours = course()
    parts = next(iter(ours))
    rows = Counter(id(row) for batch in parts[0] for row in batch)
    largest = []
    with pytest.raises(OutOfMemory, match=r"single example of 1\d tokens"):
        while True:
            parts = ours.finer(parts)
            largest.append(max(len(b) * max(r.tokens for r in b) for b in parts[0]))
            assert Counter(id(row) for batch in parts[0] for row in batch) == rows
    assert largest == sorted(largest, reverse=True) and largest[-1] < 20
    assert {len(batch) for batch in parts[0]} == {1}
