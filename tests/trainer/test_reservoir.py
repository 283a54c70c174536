"""A bounded memory of the past: every item with the same chance, and what no longer holds leaves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import old
from trainer.replay import Old
from trainer.reservoir import kept


def stream(number: int) -> list[Old]:
    return [old(f"pst_{each:04}") for each in range(number)]


@given(number=st.integers(0, 60), size=st.integers(0, 40), seed=st.integers(0, 3))
def test_it_holds_as_many_as_it_may_in_their_order(number: int, size: int, seed: int) -> None:
    olds = stream(number)
    found = kept(olds, size=size, seed=seed)
    assert len(found) == (min(number, size) if size else number)
    assert [each for each in olds if each in found] == found
    assert found == kept(olds, size=size, seed=seed)
    assert {each.id for each in kept(olds[::-1], size=size, seed=seed)} == {e.id for e in found}


def test_early_and_late_items_have_the_same_chance() -> None:
    """Of 40 items 10 are kept, 2,000 times: each about 500 times (±4 standard deviations)."""
    olds = stream(40)
    times = Counter(each.id for seed in range(2000) for each in kept(olds, size=10, seed=seed))
    assert len(times) == 40
    assert all(420 < each < 580 for each in times.values())


def test_while_the_past_only_grows_what_left_stays_away_and_few_leave() -> None:
    gone: set[str] = set()
    before: set[str] = set()
    left = 0
    for number in range(1, 200):
        now = {each.id for each in kept(stream(number), size=20, seed=1)}
        assert not now & gone
        assert len(before - now) <= 1
        left += len(before - now)
        gone |= before - now
        before = now
    # Algorithm R replaces Σ k/i = 20 · (H(199) − H(20)) ≈ 46 of them.
    assert 25 < left < 70


def test_a_superseded_fact_makes_room_for_one_other() -> None:
    olds = stream(100)
    before = kept(olds, size=10, seed=0)
    superseded = before[3]
    after = kept([each for each in olds if each != superseded], size=10, seed=0)
    assert [each for each in before if each not in after] == [superseded]
    assert len([each for each in after if each not in before]) == 1


def test_a_fact_that_comes_back_with_a_rollback_is_remembered_as_before() -> None:
    olds = stream(100)
    before = kept(olds, size=10, seed=0)
    assert kept([each for each in olds if each not in before], size=10, seed=0) != before
    assert kept(olds, size=10, seed=0) == before
