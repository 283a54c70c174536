"""What few people said is shown more often."""

from collections import Counter

import pytest

from tests.builders import old, person, plan, word
from trainer import material, packing, replay
from trainer.augmentation import augmented
from trainer.examples import Example, Message, build
from trainer.exposure import MOST_REPEATS, repeated
from trainer.material import Gathered
from trainer.rows import Row


def told(answer: str, times: int) -> list[Example]:
    return [
        Example("demonstration", (Message(role="user", content=f"{answer} {each}?"),), answer)
        for each in range(times)
    ]


@pytest.mark.parametrize(
    ("times", "exposures", "epochs", "repeats"),
    [
        (4, 32, 2.0, 4),
        (5, 32, 2.0, 4),
        (40, 32, 2.0, 1),
        (4, 0, 2.0, 1),
        (1, 32, 2.0, MOST_REPEATS),
    ],
)
def test_an_answer_is_shown_often_enough_whoever_gave_it(
    times: int, exposures: int, epochs: float, repeats: int
) -> None:
    found = repeated(told("It is blue.", times), exposures=exposures, epochs=epochs)
    assert [each.repeats for each in found] == [repeats] * times


def test_answers_count_apart_and_spelling_does_not_part_them() -> None:
    new = [*told("It is blue.", 3), *told("it is  blue", 1), *told("It is red.", 1)]
    found = repeated(new, exposures=12, epochs=1.0)
    assert [each.repeats for each in found] == [3, 3, 3, 3, MOST_REPEATS]


def test_only_what_shows_an_answer_is_repeated() -> None:
    corrected = word("fbk_1", answer="I am not sure.", correction="The lamp costs 59 dollars.")
    new = build([corrected, word("fbk_2", rating=1.0)])
    found = repeated(new, exposures=32, epochs=2.0)
    assert {each.kind: each.repeats for each in found} == {
        "demonstration": MOST_REPEATS,
        "preference": 1,
        "verdict": 1,
    }


def test_what_is_repeated_brings_as_much_old_material_along() -> None:
    new = repeated(told("It is blue.", 4), exposures=32, epochs=2.0)
    olds = [old(f"past_{each}", origin="past") for each in range(100)]
    mixed = replay.mix(new, olds, share=0.5, seed=0)
    assert sum(each.source == "past" for each in mixed) == 16


def test_a_pass_shows_a_row_as_often_as_it_repeats_and_spreads_it() -> None:
    rows = [
        Row("demonstration", [1] * 8, [[2] * 4], repeats=3 if at == 0 else 1) for at in range(30)
    ]
    steps = packing.steps(rows, budget_tokens=48, epochs=2.0, seed=0)
    shown = Counter(id(row) for step in steps for batch in step for row in batch)
    assert [shown[id(row)] for row in rows] == [6] + [2] * 29
    in_steps = sum(any(row is rows[0] for batch in step for row in batch) for step in steps)
    assert in_steps > 2


def test_what_takes_turns_is_in_one_pass_of_so_many() -> None:
    rows = [
        Row("demonstration", [1] * 8, [[2] * 4], in_turn=1 if at < 10 else 2) for at in range(30)
    ]
    steps = packing.steps(rows, budget_tokens=48, epochs=2.0, seed=0)
    shown = Counter(id(row) for step in steps for batch in step for row in batch)
    assert [shown[id(row)] for row in rows] == [2] * 10 + [1] * 20
    once = packing.steps(rows, budget_tokens=48, epochs=1.0, seed=0)
    assert sum(len(batch) for step in once for batch in step) == 20


def test_a_manner_is_not_repeated() -> None:
    kind = word(answer="It is blue.", correction="Of course! It is blue.")
    other = word("fbk_2", answer="It is red.", correction="Of course! It is green.")
    made = [each for each in build([kind, other]) if each.kind == "demonstration"]
    assert [each.repeats for each in repeated(made, exposures=12, epochs=2.0)] == [1, 6]


def test_paraphrases_take_the_place_of_repeats() -> None:
    new = repeated(told("The lamp is blue.", 4), exposures=32, epochs=2.0)
    grown, _ = augmented(new, plan(augment_prompts=3))
    assert len(grown) == 16
    assert {each.repeats for each in grown} == {1}
    assert {each.weight for each in grown} == {1.0}, "four shown for four repeats"


def test_with_paraphrases_a_correction_weighs_what_it_did_with_its_repeats() -> None:
    [new] = repeated(told("The lamp is blue.", 1), exposures=5, epochs=1.0)
    grown, _ = augmented([new], plan(augment_prompts=2))
    assert [each.repeats for each in grown] == [2, 2, 2]
    assert sum(each.repeats * each.weight for each in grown) == pytest.approx(new.repeats)


def test_a_round_repeats_as_its_plan_says_unless_it_starts_afresh() -> None:
    words = tuple(
        word(f"fbk_{each}", person_id=person(f"p{each}"), correction="The lamp is blue.")
        for each in range(4)
    )
    gathered = Gathered(words=words, past=(), past_for_judging=(), general=(), protected=())
    asked = plan(new_exposures=16, epochs=2.0)
    demonstrations = [
        [each.repeats for each in found.training if each.kind == "demonstration"]
        for found in (material.sort(gathered, asked), material.sort(gathered, asked, rebase=True))
    ]
    assert demonstrations == [[2] * 4, [1] * 4]
