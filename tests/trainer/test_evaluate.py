"""Scores, and two of them side by side."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import Invalid
from trainer.evaluate import Conversation, Scored, Scores, score
from trainer.evidence import pair
from trainer.suites import Item


def item(name: str, expected: str, suite: str = "world") -> Item:
    return Item(name, suite, ({"role": "user", "content": f"{name}?"},), expected, "contains")


ITEMS = [item("sky", "blue"), item("grass", "green"), item("hello", "hi", suite="manners")]


def says(*answers: str) -> Scores:
    return score(lambda _: list(answers), ITEMS)


def test_scores_answers_by_suite() -> None:
    asked: list[Conversation] = []

    def model(conversations: Sequence[Conversation]) -> list[str]:
        asked.extend(conversations)
        return ["It is blue.", "It is red.", "Hi!"]

    scores = score(model, ITEMS)
    assert [said[-1]["content"] for said in asked] == ["sky?", "grass?", "hello?"]
    assert [result.right for result in scores.results] == [True, False, True]
    assert scores.accuracy() == {"world": 0.5, "manners": 1.0}


def test_refuses_too_few_answers() -> None:
    with pytest.raises(Invalid, match="3 items were asked and 1 answers"):
        says("blue")


def test_asks_nothing_where_there_is_nothing_to_ask() -> None:
    def model(conversations: Sequence[Conversation]) -> list[str]:
        raise AssertionError("nobody should ask")

    assert score(model, []).results == ()


@given(st.lists(st.builds(Scored, item_id=st.text(), suite=st.text(), answer=st.text(), right=...)))
def test_scores_come_back_from_json(results: list[Scored]) -> None:
    scores = Scores(results=tuple(results))
    assert Scores.from_json(scores.to_json()) == scores


def test_pairs_two_models_answers() -> None:
    sky, grass, hello = pair(ITEMS, says("blue", "red", "hi"), says("red", "green", "hi"), "past")
    assert (sky.change, grass.change, hello.change) == (-1, 1, 0)
    assert sky.kind == "past" and sky.suite == "world" and sky.cluster == "sky"
    assert (sky.prompt, sky.expected) == ("sky?", "blue")
    assert (sky.incumbent_answer, sky.candidate_answer) == ("blue", "red")


def test_refuses_to_pair_scores_of_other_items() -> None:
    whole = says("blue", "red", "hi")
    part = Scores(results=whole.results[:2])
    with pytest.raises(Invalid, match="candidate's scores are of other items"):
        pair(ITEMS, whole, part, "past")
