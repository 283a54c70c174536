"""From which checkpoint to fine-tune: the best beyond chance, or else the one of the fewest steps."""

from collections.abc import Sequence

import pytest

from trainer.tradeoff import Compared, advice

PEOPLE = [f"p{n // 2}" for n in range(40)]


def asked(
    rights: Sequence[int], people: Sequence[str] = PEOPLE, *, start: str | None = None
) -> str:
    """Advice on a line whose members answer so many corrections rightly after the trial."""
    names = (start, "adp_quarter", "adp_half", "adp_whole")
    rows = [
        Compared(name, share, 10.0, 1.0, 0.0, right / 40, 1.0)
        for name, share, right in zip(names, (0.0, 0.25, 0.5, 1.0), rights, strict=True)
    ]
    tried = [[n < right for n in range(len(people))] for right in rights]
    return advice(rows, tried, people, steps=30)


def test_a_checkpoint_that_is_best_beyond_chance_is_named_with_its_lead() -> None:
    told = asked([2, 4, 36, 20])
    assert "are answered best by adp_half, 40.0 points ahead of the next (95%: " in told
    assert told.endswith("`heed round run --from adp_half` starts there.")


@pytest.mark.parametrize("rights", [[2, 30, 31, 32], [2, 30, 30, 30], [2, 32, 31, 30]])
def test_of_those_that_chance_may_have_ordered_the_one_of_the_fewest_steps_is_named(
    rights: list[int],
) -> None:
    told = asked(rights)
    assert "40 held-out correction(s) of 20 people cannot tell" in told
    assert "adp_quarter, adp_half, adp_whole apart" in told
    assert "of these, adp_quarter took the fewest steps" in told
    assert told.endswith("`heed round run --from adp_quarter` starts there.")


def test_where_reading_made_no_difference_nothing_is_started_from() -> None:
    assert asked([30, 30, 30, 30]).endswith("of these, the base model took the fewest steps.")
    assert asked([30, 30, 30, 30], start="adp_live").endswith("adp_live took the fewest steps.")


def test_one_person_alone_tells_nothing() -> None:
    assert "correction(s) of one person cannot tell" in asked([0, 2, 4, 6], ["ana"] * 8)


def test_without_corrections_nothing_is_recommended() -> None:
    assert "No correction waits" in asked([0, 0, 0, 0], [])
