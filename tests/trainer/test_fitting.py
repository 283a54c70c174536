"""Feedback that the base model cannot be shown neither trains nor judges, and says so."""

from collections.abc import Sequence
from dataclasses import replace

from tests.builders import old, person, plan, word
from trainer import fitting, material
from trainer.examples import Example
from trainer.material import Gathered

LONG = "long"
RIGHT = "The lamp costs 59 dollars."


def misfits(examples: Sequence[Example]) -> list[str]:
    """Whatever says so is too long."""
    return [
        "Too long." if LONG in f"{each.messages} {each.target} {each.rejected}" else ""
        for each in examples
    ]


def gathered(*words: object, **more: object) -> Gathered:
    none = {"past": (), "past_for_judging": (), "general": (), "protected": ()}
    return Gathered(words=words, **{**none, **more})  # type: ignore[arg-type]


def test_what_fits_is_left_as_it_is() -> None:
    found = gathered(word("fbk_1", correction="Six."), word("fbk_2", rating=1.0))
    assert fitting.fitted(found, misfits) == found


def test_a_correction_is_learned_where_only_the_answer_it_corrects_is_too_long() -> None:
    found = gathered(
        word("fbk_long", correction="A long correction."),
        word("fbk_beside", correction="Six.", answer="A long answer."),
        word("fbk_down", rating=0.0, answer="A long answer."),
    )
    assert fitting.fitted(found, misfits).unfit == {
        "fbk_long": "Too long.",
        "fbk_down": "Too long.",
    }


def test_what_a_signal_rests_on_shares_its_fate() -> None:
    found = gathered(word("fbk_1", rating=1.0, answer="A long answer.", also=("fbk_2", "fbk_3")))
    assert fitting.fitted(found, misfits).unfit.keys() == {"fbk_1", "fbk_2", "fbk_3"}


def test_nothing_of_it_trains_or_judges() -> None:
    crowd = [
        word(f"fbk_{n:03}", person_id=person(f"p{n}"), correction=f"A{' long' * (n % 2)} answer.")
        for n in range(120)
    ]
    sorted_ = material.sort(fitting.fitted(gathered(*crowd), misfits), plan())
    judges = {each.feedback_id for each in sorted_.held_out}
    assert judges and len(sorted_.unfit) == 60
    assert judges | sorted_.roles.keys() | sorted_.unfit.keys() == {w.feedback_id for w in crowd}
    assert not sorted_.unfit.keys() & (judges | sorted_.roles.keys())
    assert not any(LONG in each.target for each in sorted_.training)


def test_a_correction_that_cannot_be_learned_still_makes_the_old_answer_wrong() -> None:
    fix = word("fbk_fix", correction=f"{RIGHT} So long.", accepted_by="reviewer")
    praise = word("fbk_praise", rating=1.0, person_id=person("fan"))
    found = gathered(fix, praise, past=(old(),))
    sorted_ = material.sort(fitting.fitted(found, misfits), plan())
    assert "old_1" in sorted_.retired
    assert sorted_.contradicted == {"fbk_praise": "fbk_fix"}
    assert sorted_.unfit == {"fbk_fix": "Too long."}


def test_what_is_contradicted_has_one_reason() -> None:
    fix = word("fbk_fix", correction=RIGHT, accepted_by="reviewer")
    praise = replace(
        gathered(fix, word("fbk_praise", rating=1.0, person_id=person("fan"))),
        unfit={"fbk_praise": "Too long."},
    )
    sorted_ = material.sort(praise, plan())
    assert sorted_.contradicted == {"fbk_praise": "fbk_fix"}
    assert sorted_.unfit == {}
