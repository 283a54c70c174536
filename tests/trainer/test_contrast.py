"""Thumbs down beside liked answers that say the same of the same thing in another manner."""

from dataclasses import replace
from typing import Any

import pytest

from trainer import contrast
from trainer.examples import Example, Message
from trainer.replay import Old

CURT = "59 dollars."
POLITE = "Of course! The lamp costs 59 dollars."
SYSTEM = "You answer for the store."


def asked(question: str, system: str | None = SYSTEM) -> tuple[Message, ...]:
    user = Message(role="user", content=question)
    return (user,) if system is None else (Message(role="system", content=system), user)


def disliked(
    answer: str = POLITE, question: str = "Hello! What does the lamp cost?", **fields: Any
) -> Example:
    values: dict[str, Any] = {
        "kind": "verdict",
        "messages": asked(question),
        "liked": False,
        "feedback_ids": ("down",),
        "cluster": "ana",
    }
    return Example(target=answer, **{**values, **fields})


def liked(
    answer: str = CURT, question: str = "cost of the lamp?", name: str = "up", **fields: Any
) -> Old:
    values: dict[str, Any] = {"messages": asked(question), "feedback_ids": (name,)}
    return Old(name, target=answer, cluster="ben", origin="past", **{**values, **fields})


@pytest.mark.parametrize(("wrong", "right"), [(POLITE, CURT), (CURT, POLITE)])
def test_a_liked_answer_of_the_same_matter_shows_how_it_should_have_been_put(
    wrong: str, right: str
) -> None:
    example = disliked(wrong, weight=0.6)
    shown, preferred = contrast.contrasted([example], [liked(right, trust=0.5)])
    assert (shown.kind, shown.target, shown.liked) == ("demonstration", right, None)
    assert shown.messages == example.messages
    assert shown.weight == 0.5
    assert shown.feedback_ids == ("down", "up")
    assert shown.role == "contrast"
    assert not shown.news
    assert (preferred.kind, preferred.target, preferred.rejected) == ("preference", right, wrong)


def test_the_last_of_those_whose_questions_are_as_like_is_shown() -> None:
    olds = [liked("59 dollars", name="one"), liked(CURT, name="two")]
    assert contrast.contrasted([disliked()], olds)[0].target == CURT
    other = liked("It costs 59 dollars", question="what is the price of it?", name="three")
    assert contrast.contrasted([disliked()], [*olds, other])[0].target == CURT


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(liked("49 dollars."), id="another value"),
        pytest.param(liked(question="cost of the desk?"), id="another thing, as far as asked"),
        pytest.param(
            liked("The desk costs 59 dollars.", "what does the desk cost?"), id="another thing"
        ),
        pytest.param(liked(messages=asked("cost of the lamp?", "Otherwise.")), id="instructions"),
        pytest.param(liked(messages=asked("cost of the lamp?", None)), id="no instructions"),
        pytest.param(liked(question="how soon can you be here?"), id="another question"),
        pytest.param(liked("It is. :-)"), id="without a word of its own"),
        pytest.param(
            liked(
                messages=(*asked("hm?"), Message(role="assistant", content="?"), *asked("cost?"))
            ),
            id="in a conversation",
        ),
    ],
)
def test_what_may_say_something_else_is_no_contrast(other: Old) -> None:
    example = disliked()
    assert contrast.contrasted([example], [other]) == [example]


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(disliked(liked=True), id="liked"),
        pytest.param(disliked(signal=True), id="a signal"),
        pytest.param(disliked(kind="demonstration", liked=None), id="shown"),
        pytest.param(
            disliked(messages=(*asked("hm?"), Message(role="assistant", content="?"), *asked("a"))),
            id="in a conversation",
        ),
    ],
)
def test_only_thumbs_down_on_single_questions_are_put_otherwise(example: Example) -> None:
    assert contrast.contrasted([example], [liked()]) == [example]


def test_what_is_nearly_alike_makes_no_preference() -> None:
    long = "The lamp costs 59 dollars with delivery, tax, wrapping paper, bulb, cable and plug."
    found = contrast.contrasted([disliked(long)], [liked(f"{long} Bye!")])
    assert [each.kind for each in found] == ["demonstration"]


def test_others_stay_as_they_are_and_in_order() -> None:
    first, last = disliked(liked=True), disliked("I do not know.")
    found = contrast.contrasted([first, disliked(), last], [liked()])
    assert [each.kind for each in found] == ["verdict", "demonstration", "preference", "verdict"]
    assert (found[0], found[-1]) == (first, last)


THINGS = ("desk", "sofa", "vase", "chair", "stool", "clock", "shelf", "bench", "mug", "rug")


def votes(*, liked_curt: bool = True) -> list[Example]:
    """What ten people said of either manner of putting it."""
    found = []
    for value, thing in enumerate(THINGS, 20):
        question = f"What does the {thing} cost?"
        for answer, curt in (
            (f"{value} dollars.", True),
            (f"Of course! The {thing} costs {value} dollars.", False),
        ):
            found.append(
                disliked(
                    answer, question, liked=curt is liked_curt, cluster=f"who likes the {thing}"
                )
            )
    return found


def general(answer: str = CURT, **fields: Any) -> Old:
    values: dict[str, Any] = {"messages": asked("cost of the lamp?", None)}
    return Old("general", target=answer, cluster="g", origin="general", **{**values, **fields})


def put(example: Example, *others: Old, liked: tuple[Old, ...] = (), **said: Any) -> list[Example]:
    """What becomes of one thumb down beside what ten people said."""
    found = contrast.contrasted([*votes(**said), example], liked, others)
    return [each for each in found if each.messages == example.messages]


@pytest.mark.parametrize(("wrong", "right"), [(POLITE, CURT), (CURT, POLITE)])
def test_what_nobody_judged_shows_it_where_it_has_the_manner_that_people_like(
    wrong: str, right: str
) -> None:
    example = disliked(wrong, weight=0.6)
    shown, preferred = put(example, general(right), general(wrong), liked_curt=right is CURT)
    assert (shown.kind, shown.target, shown.weight) == ("demonstration", right, 0.6)
    assert (shown.role, shown.feedback_ids) == ("contrast", ("down",))
    assert (preferred.kind, preferred.target, preferred.rejected) == ("preference", right, wrong)


def test_a_manner_is_of_the_instructions_that_the_votes_were_given_under() -> None:
    example = disliked(messages=asked("Hello! What does the lamp cost?", "Be yourself."))
    assert put(example, general()) == [example]


@pytest.mark.parametrize(
    ("answer", "other"),
    [
        pytest.param(CURT, POLITE, id="which has the other manner"),
        pytest.param(CURT, "59 dollars", id="which is put the same"),
        pytest.param(POLITE, "49 dollars.", id="which says something else"),
    ],
)
def test_an_answer_that_may_be_no_better_shows_nothing(answer: str, other: str) -> None:
    example = disliked(answer)
    assert put(example, general(other)) == [example]


def test_without_votes_that_tell_the_manner_nothing_unjudged_is_shown() -> None:
    example = disliked()
    assert contrast.contrasted([example], [], [general()]) == [example]


def test_what_people_liked_comes_before_what_nobody_judged() -> None:
    shown, *_ = put(disliked(), general(), liked=(liked("It is 59 dollars."),))
    assert shown.target == "It is 59 dollars."


def test_what_signals_say_tells_no_manner() -> None:
    example = disliked()
    signals = [replace(vote, signal=True) for vote in votes()]
    assert contrast.contrasted([*signals, example], [], [general()])[-1] == example
