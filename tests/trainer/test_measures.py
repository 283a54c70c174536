"""What a report tells beside the verdict, against values worked out by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from feedback.harvest import Word
from feedback.store import Store
from tests.builders import recorded, say
from trainer import measures
from trainer.evidence import Paired
from trainer.examples import Message
from trainer.metrics import Likelihood

NATS = {"base": {"right": -4.0, "wrong": -2.0}, "candidate": {"right": -1.0, "wrong": -3.0}}


class Model:
    """Finds the text `right` and the text `wrong` as likely as the table says, in two tokens."""

    def fits(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, max_new_tokens: int = 1
    ) -> list[bool]:
        return [len(text) < 10 for _, text in rows]

    def likelihoods(
        self, rows: Sequence[tuple[Sequence[Message], str]], *, adapter: str | None
    ) -> list[Likelihood]:
        return [Likelihood(NATS[adapter or "base"][text], 2) for _, text in rows]


def _word(correction: str = "right", answer: str = "wrong") -> Word:
    return Word(
        feedback_id="fbk_1",
        person_id="per_1",
        messages=({"role": "user", "content": "What?"},),
        answer=answer,
        adapter_id="base",
        rating=None,
        correction=correction,
        accepted_by="reviewer",
        worse=(),
    )


def _pair(suite: str, number: int, expected: str, before: str, after: str) -> Paired:
    return Paired(
        item_id=f"{suite} {number}",
        suite=suite,
        cluster=str(number),
        incumbent_right=before == expected,
        candidate_right=after == expected,
        kind="past",
        prompt=f"What is it, number {number}?",
        incumbent_answer=before,
        candidate_answer=after,
        expected=expected,
    )


def test_both_models_are_measured_suite_by_suite() -> None:
    found = measures.suites(
        [_pair("a", 1, "red lamp", "blue lamp", "red lamp"), _pair("b", 1, "x", "x", "y")]
    )
    assert set(found) == {"a", "b"}
    assert (found["a"]["incumbent"]["accuracy"], found["a"]["candidate"]["accuracy"]) == (0, 1)
    assert (found["a"]["incumbent"]["text"]["f1"], found["a"]["candidate"]["text"]["f1"]) == (
        0.5,
        1,
    )
    assert found["b"]["candidate"]["accuracy"] == 0
    assert "labels" not in found["a"]["candidate"]


def test_what_an_answer_must_hold_is_not_compared_word_by_word() -> None:
    pair = replace(_pair("a", 1, "49 dollars", "It costs 49 dollars.", "No."), verbatim=False)
    found = measures.suites([pair])
    assert set(found["a"]["candidate"]) == {"accuracy"}


def test_answers_that_are_few_are_labels() -> None:
    pairs = [
        _pair("intent", n, "refund" if n < 6 else "price", "price", "refund" if n < 8 else "what?")
        for n in range(12)
    ]
    told = measures.suites(pairs)["intent"]
    assert told["incumbent"]["labels"]["accuracy"] == 0.5
    assert told["incumbent"]["labels"]["per_label"]["refund"]["recall"] == 0
    candidate = told["candidate"]["labels"]
    assert candidate["per_label"]["refund"]["precision"] == 6 / 8
    assert candidate["per_label"][measures.OTHER]["precision"] == 0
    assert candidate["per_label"]["price"]["recall"] == 0


def test_held_out_corrections_are_weighed_against_what_they_correct() -> None:
    found = measures.held_out(Model(), [_word()], incumbent=None, candidate="candidate")
    assert found["incumbent"]["nll"] == 2.0
    assert found["candidate"]["perplexity"] == pytest.approx(math.exp(0.5))
    assert found["candidate"]["bits_per_byte"] == pytest.approx(1 / math.log(2) / 5)
    assert found["incumbent"]["preference_accuracy"] == 0
    assert found["candidate"]["preference_accuracy"] == 1
    # It came to like the correction by 3 nats more, and the other answer by 1 less.
    assert found["candidate"]["reward_margin"] == 4.0


def test_corrections_beyond_the_context_are_left_out() -> None:
    long = _word(correction="much longer than the model reads")
    both = measures.held_out(Model(), [long, _word()], incumbent=None, candidate="candidate")
    assert both["candidate"]["items"] == 1
    assert measures.held_out(Model(), [long], incumbent=None, candidate="candidate") == {}
    assert measures.held_out(Model(), [], incumbent=None, candidate="candidate") == {}


def test_the_verdict_margin_is_what_liked_answers_gained_over_disliked_ones() -> None:
    up = _word()._replace(correction=None, answer="right", rating=1.0)
    down = up._replace(answer="wrong", rating=0.0)
    preferred = up._replace(rating=None, worse=("wrong",))
    for words, liked in (([up, down], 1), ([preferred], 1), ([up, preferred], 2)):
        found = measures.verdicts(Model(), words, incumbent=None, candidate="candidate")
        # Liked answers came to be likelier by 3 nats, disliked ones less likely by 1.
        assert found == {"margin": 4.0, "liked": liked, "disliked": 1}
    alone = measures.verdicts(Model(), [up], incumbent=None, candidate="candidate")
    assert alone == {"margin": None, "liked": 1, "disliked": 0}
    silent = [up._replace(rating=0.5), up._replace(answer="much longer than it reads")]
    assert measures.verdicts(Model(), silent, incumbent=None, candidate="candidate") == {}


def test_a_tag_whose_answers_are_worse_is_found() -> None:
    pairs = [_pair("a", n, "red", "red", "red" if n < 60 or n % 2 else "blue") for n in range(120)]
    tags = {f"a {n}": {"shop": "north" if n < 60 else "south"} for n in range(120)}
    worst = measures.by_slice(pairs, tags, seed=0)[0]
    assert worst["name"] == "tag shop=south"
    assert worst["worse"]
    assert (worst["value"], worst["elsewhere"]) == (0.5, 1.0)


def test_tags_come_from_the_exchange_that_feedback_is_about(store: Store) -> None:
    from feedback import about

    tagged = recorded(store, tags={"shop": "north"}, group="b")
    first = say(store, rating="up", completion_id=tagged)
    second = say(store, rating="up")
    with store.session() as session:
        found = about.tags(session, [first, second, "fbk_unknown"])
    assert found == {first: {"shop": "north", "group": "b"}, second: {}}
