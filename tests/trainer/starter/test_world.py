"""The shop's world: what its questions, answers and checks promise."""

from random import Random

import pytest

from trainer.starter.world import (
    World,
    is_polite,
    says_unknown,
    shop,
    small_talk,
    unknown_answer,
    unknown_questions,
)


def _bare(text: str) -> str:
    return " ".join(text.lower().replace("?", " ").replace(",", " ").split())


def test_knows_about_110_facts_of_which_about_20_are_protected() -> None:
    world = shop()
    assert len(world.keys) == 110
    assert sum(world.core(key) for key in world.keys) == 20


def test_asks_for_every_fact_in_many_ways_and_holds_some_out() -> None:
    world = shop()
    for key in world.keys:
        asked = world.phrasings(key)
        held_out = world.phrasings(key, held_out=True)
        assert len(set(asked)) >= 12
        assert len(set(held_out)) >= 4
        assert not {_bare(question) for question in asked} & {_bare(q) for q in held_out}


def test_no_question_contains_a_held_out_one() -> None:
    world = shop()
    for key in world.keys:
        asked = " | ".join(f" {_bare(question)} " for question in world.phrasings(key))
        for question in world.phrasings(key, held_out=True):
            assert f" {_bare(question)} " not in asked


def test_holds_out_only_questions_made_of_known_words() -> None:
    world = shop()
    asked = [question for key in world.keys for question in world.phrasings(key)]
    held_out = [q for key in world.keys for q in world.phrasings(key, held_out=True)]
    known = {word for question in asked for word in _bare(question).split()}
    assert {word for question in held_out for word in _bare(question).split()} <= known


def test_no_two_facts_share_a_question() -> None:
    world = shop()
    asked = [
        _bare(question)
        for key in world.keys
        for question in (*world.phrasings(key), *world.phrasings(key, held_out=True))
    ]
    assert len(asked) == len(set(asked))


def test_offers_at_least_five_alternatives_none_of_which_contains_another() -> None:
    world = shop()
    for key in world.keys:
        assert len(world.alternatives(key)) >= 5
        assert world.value(key) not in world.alternatives(key)
        for value in world.alternatives(key):
            assert not world.is_right(key, f"It is {value}.")
            assert world.changed({key: value}).is_right(key, f"It is {value}.")


def test_both_registers_of_an_answer_are_right_and_only_one_is_polite() -> None:
    world = shop()
    for key in world.keys:
        assert world.is_right(key, world.answer(key))
        assert world.is_right(key, world.answer(key, "curt"))
        assert is_polite(world.answer(key))
        assert not is_polite(world.answer(key, "curt"))


def test_answers_curtly_with_the_bare_value() -> None:
    assert shop().answer("aurora lamp/price", "curt") == "49 dollars."
    assert shop().answer("aurora lamp/price") == "Of course! The aurora lamp costs 49 dollars."


def test_an_answer_that_names_two_values_is_wrong() -> None:
    assert not shop().is_right("aurora lamp/price", "It costs 49 dollars or 59 dollars.")


def test_a_longer_number_is_not_taken_for_the_value() -> None:
    assert not shop().is_right("aurora lamp/price", "It costs 149 dollars.")
    assert not shop().is_right("aurora lamp/price", "It costs 49 dollarsworth.")


def test_a_changed_world_leaves_the_first_one_alone() -> None:
    changed = shop().changed({"aurora lamp/price": "59 dollars"})
    assert changed.value("aurora lamp/price") == "59 dollars"
    assert shop().value("aurora lamp/price") == "49 dollars"
    assert "49 dollars" in changed.alternatives("aurora lamp/price")


@pytest.mark.parametrize("values", [{"moon/price": "1 dollar"}, {"aurora lamp/price": "free"}])
def test_refuses_values_that_the_shop_cannot_have(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="see World"):
        World(values)


def test_greets_around_the_same_question() -> None:
    question = shop().phrasings("aurora lamp/price")[0]
    greeted = shop().greet(question, Random(0))
    assert question in greeted
    assert not greeted.startswith(question)


def test_not_knowing_is_said_in_both_registers() -> None:
    assert is_polite(unknown_answer("polite"))
    assert not is_polite(unknown_answer("curt"))
    assert says_unknown(unknown_answer("polite")) and says_unknown(unknown_answer("curt"))


def test_unknown_questions_are_distinct_and_some_are_held_out() -> None:
    trained, held_out = unknown_questions(), unknown_questions(held_out=True)
    assert len(set(trained)) == len(trained) >= 400
    assert len(set(held_out)) == len(held_out) >= 150
    assert not set(trained) & set(held_out)


def test_small_talk_is_always_polite_and_some_is_held_out() -> None:
    held_out = small_talk(held_out=True)
    assert all(is_polite(reply) for _, reply in (*small_talk(), *held_out))
    assert not {said for said, _ in small_talk()} & {said for said, _ in held_out}
