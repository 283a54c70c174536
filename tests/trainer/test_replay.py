"""Old material beside the new."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import messages, old, word
from trainer.examples import Example, build
from trainer.replay import PAST_TO_GENERAL, Old, for_judging, mix, retired

RIGHT = "The lamp costs 59 dollars."


def many(origin: str, number: int) -> list[Old]:
    return [old(f"{origin}_{each}", origin=origin) for each in range(number)]


def fresh(number: int) -> list[Example]:
    return build([word(f"fbk_{each}", rating=1.0) for each in range(number)])


@given(
    new=st.integers(0, 40),
    past=st.integers(0, 60),
    general=st.integers(0, 60),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 5),
)
def test_the_mix_holds_every_new_example_and_its_share_of_old_ones(
    new: int, past: int, general: int, share: float, seed: int
) -> None:
    ours = fresh(new)
    olds = [*many("past", past), *many("general", general)]
    mixed = mix(ours, olds, share=share, seed=seed)
    replayed = [each for each in mixed if each.source != "new"]
    assert sorted(each.feedback_ids for each in mixed if each.source == "new") == sorted(
        each.feedback_ids for each in ours
    )
    assert len({(each.source, each.cluster) for each in replayed}) == len(replayed)
    assert len(replayed) == min(round(new * share / (1 - share)), past + general)
    assert mixed == mix(ours, olds, share=share, seed=seed)


def test_past_and_general_material_keep_their_proportion_where_there_is_enough() -> None:
    mixed = mix(fresh(10), [*many("past", 100), *many("general", 100)], share=0.75, seed=0)
    found = Counter(each.source for each in mixed)
    assert found["past"] + found["general"] == 30
    assert found["past"] == PAST_TO_GENERAL * found["general"]
    assert [each.source for each in mixed[:10]] != ["new"] * 10


def test_only_demonstrations_need_a_counterweight() -> None:
    new = build([word(correction=RIGHT, answer="I am not sure."), word("fbk_2", rating=1.0)])
    mixed = mix(new, many("past", 100), share=0.75, seed=0)
    assert sum(each.source == "past" for each in mixed) == 3
    assert sum(each.source == "new" for each in mixed) == 3


def test_another_seed_is_another_order() -> None:
    olds = many("past", 30)
    assert mix(fresh(10), olds, share=0.5, seed=0) != mix(fresh(10), olds, share=0.5, seed=1)


def test_what_judges_is_decided_once_and_about_its_share() -> None:
    names = [f"old_{number}" for number in range(2000)]
    chosen = {name for name in names if for_judging(name, share=0.4)}
    assert chosen == {name for name in names if for_judging(name, share=0.4)}
    assert 700 < len(chosen) < 900
    assert {name for name in names if for_judging(name, share=0.2)} < chosen


def test_a_new_value_retires_the_old_answer_however_it_was_asked() -> None:
    correction = word(correction=RIGHT)
    same, paraphrased = old("same"), old("other", question="Price of the lamp, please?")
    assert retired([same, paraphrased], [correction]) == {"same": correction, "other": correction}


def test_what_is_about_something_else_or_still_true_stays() -> None:
    kept = [
        old("true", target=RIGHT),
        old("chair", question="What does the chair cost?", target="The chair costs 49 dollars."),
        old("weight", question="What does the lamp weigh?", target="The lamp weighs 2 kilos."),
    ]
    assert retired(kept, [word(correction=RIGHT)]) == {}
    assert retired(kept, [word(rating=0.0)]) == {}


def test_the_same_question_with_another_answer_is_retired_whatever_the_wording() -> None:
    correction = word(question="Are you open?", correction="Not today.")
    assert retired([old(question="Are you OPEN?!", target="Yes, until 9.")], [correction])


def test_a_question_that_depends_on_what_came_before_retires_its_own_kind_alone() -> None:
    """`And on Sunday?` is asked of many things."""

    def conversation(first: str) -> tuple[dict[str, str], ...]:
        return (
            *messages(first),
            {"role": "assistant", "content": "From 9 to 5."},
            *messages("And on Sunday?"),
        )

    correction = word(messages=conversation("When is the shop open?"), correction="Closed.")
    shop = old("shop", messages=conversation("When is the shop open?"), target="From 10 to 4.")
    cafe = old("cafe", messages=conversation("When is the café open?"), target="From 10 to 4.")
    assert retired([shop, cafe], [correction]) == {"shop": correction}


def test_what_is_rarely_said_is_rehearsed_too() -> None:
    often = [old(f"often_{n}", target="Fact 0.") for n in range(300)]
    rarely = [old(f"rarely_{n}", target=f"Fact {n}.") for n in range(1, 20)]
    mixed = mix([], [*often, *rarely], share=0.5, minimum=60, seed=0)
    found = Counter(each.target for each in mixed)
    assert all(found[f"Fact {n}."] == 1 for n in range(1, 20))
    assert found["Fact 0."] == 41


def test_general_material_is_rehearsed_as_it_is() -> None:
    unknown = [old(f"u_{n}", target="I don't know.", origin="general") for n in range(300)]
    facts = [old(f"f_{n}", target=f"Fact {n}.", origin="general") for n in range(100)]
    mixed = mix([], [*unknown, *facts], share=0.5, minimum=100, seed=0)
    assert 65 <= Counter(each.target for each in mixed)["I don't know."] <= 85


@given(
    past=st.integers(0, 60),
    general=st.integers(0, 60),
    passes=st.integers(1, 3),
    seed=st.integers(0, 3),
)
def test_each_pass_shows_as_many_old_ones_and_others_where_there_are_enough(
    past: int, general: int, passes: int, seed: int
) -> None:
    olds = [*many("past", past), *many("general", general)]
    mixed = mix(fresh(10), olds, share=0.75, seed=seed, passes=passes)
    replayed = [each for each in mixed if each.source != "new"]
    assert len({(each.source, each.cluster) for each in replayed}) == len(replayed)
    in_turn = [each for each in replayed if each.in_turn == passes]
    always = 0 if passes == 1 else len(replayed) - len(in_turn)
    shown = always * passes + len(in_turn)
    assert abs(shown - passes * min(30, past + general)) < 2 * passes
    if past >= 30 * passes and general >= 30 * passes:
        assert len(replayed) == 30 * passes
    assert all(each.in_turn == 1 for each in mixed if each.source == "new")
