"""Feedback becomes examples."""

import pytest

from tests.builders import ANSWER, word
from trainer.examples import build, contradicted

RIGHT = "The lamp costs 59 dollars."
VAGUE = "I am not sure about prices."


def kinds(**fields: object) -> list[tuple[str, str, str | None, bool | None]]:
    return [
        (each.kind, each.target, each.rejected, each.liked)
        for each in build([word(**fields)])  # type: ignore[arg-type]
    ]


def test_a_correction_is_shown_and_preferred_to_what_it_corrects() -> None:
    assert kinds(correction=RIGHT, rating=0.0, answer=VAGUE) == [
        ("demonstration", RIGHT, None, None),
        ("preference", RIGHT, VAGUE, None),
    ]


@pytest.mark.parametrize("answer", [RIGHT.upper(), ANSWER])
def test_a_correction_that_is_nearly_alike_is_no_preference(answer: str) -> None:
    assert kinds(correction=RIGHT, answer=answer) == [("demonstration", RIGHT, None, None)]


def test_a_thumb_down_on_a_corrected_answer_joins_the_corrections_preference() -> None:
    """A verdict would blame every word; the correction says which."""
    correction = word("fbk_1", correction=RIGHT, answer=VAGUE)
    thumb = word("fbk_2", rating=0.0, answer=VAGUE)
    made = build([correction, thumb])
    assert [(each.kind, each.feedback_ids) for each in made] == [
        ("demonstration", ("fbk_1",)),
        ("preference", ("fbk_1", "fbk_2")),
    ]
    elsewhere = word("fbk_3", rating=0.0, answer="Another answer.")
    assert [each.kind for each in build([elsewhere], held_out=[correction])] == ["verdict"]
    assert build([thumb], held_out=[correction]) == []


def test_a_thumb_is_a_verdict_and_one_that_a_reviewer_confirmed_is_shown_too() -> None:
    assert kinds(rating=1.0) == [("verdict", ANSWER, None, True)]
    assert kinds(rating=0.0, accepted_by="reviewer") == [("verdict", ANSWER, None, False)]
    assert kinds(rating=1.0, accepted_by="reviewer") == [
        ("demonstration", ANSWER, None, None),
        ("verdict", ANSWER, None, True),
    ]


def test_a_rating_counts_by_its_distance_from_the_middle() -> None:
    assert [each.weight for each in build([word(rating=0.75), word(rating=0.0)])] == [0.5, 1.0]
    assert kinds(rating=0.5) == []


def test_answers_passed_over_are_rejected() -> None:
    assert kinds(worse=("Dunno.",)) == [("preference", ANSWER, "Dunno.", None)]
    assert ("preference", RIGHT, "Dunno.", None) in kinds(worse=("Dunno.",), correction=RIGHT)


def test_every_example_names_the_feedback_and_the_person() -> None:
    made = build([word("fbk_9", correction=RIGHT, answer=VAGUE, worse=("Dunno.",))])
    assert len(made) == 3
    assert {(each.feedback_ids, each.cluster, each.source) for each in made} == {
        (("fbk_9",), word().person_id, "new")
    }


def test_what_says_nothing_becomes_nothing() -> None:
    assert build([word()]) == []
    assert build([]) == []


def test_praise_for_an_answer_that_was_corrected_is_contradicted() -> None:
    correction = word("fbk_2", correction=RIGHT)
    assert contradicted(word(rating=1.0), [correction]) is correction
    for other in (
        word(rating=0.0),
        word(rating=1.0, answer=RIGHT),
        word(rating=1.0, answer="The chair costs 49 dollars."),
        word(rating=1.0, correction="The lamp costs 60 dollars."),
        word(),
    ):
        assert contradicted(other, [correction]) is None


def test_a_word_that_counts_less_makes_examples_that_count_less() -> None:
    assert [each.weight for each in build([word(rating=1.0, weight=0.4)])] == [0.4]
    made = build([word(correction=RIGHT, answer=VAGUE, weight=0.5)])
    assert [(each.kind, each.weight) for each in made] == [
        ("demonstration", 0.5),
        ("preference", 0.5),
    ]


def test_signals_become_a_weak_verdict_that_names_all_of_them() -> None:
    clicks = word("fbk_1", rating=0.9, accepted_by="signal", weight=0.3, also=("fbk_2",))
    (made,) = build([clicks])
    assert (made.kind, made.role, made.liked) == ("verdict", "signal", True)
    assert made.weight == pytest.approx(0.24)
    assert made.feedback_ids == ("fbk_1", "fbk_2")
