"""Paraphrased and mistyped questions: the answer stays, and so does what is asked for."""

import random
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.words import content_words, normalised
from tests.builders import plan
from trainer.augmentation import augmented
from trainer.examples import Example, Message
from trainer.paraphrases import is_english, paraphrases, says_the_same
from trainer.paraphrasing_service import KEY, ParaphrasingService, keeps_meaning
from trainer.typing_noise import with_errors

ASKED = "What does the lamp from Berlin cost with code X40?"
ANSWER = "The lamp costs 59 dollars."


def correction(question: str = ASKED, *, name: str = "fbk_1", **fields: Any) -> Example:
    values: dict[str, Any] = {"feedback_ids": (name,), "cluster": f"person {name}"}
    messages = (Message(role="system", content="Be brief."), Message(role="user", content=question))
    return Example("demonstration", messages, ANSWER, **{**values, **fields})


def replies(content: str, status: int = 200) -> httpx.MockTransport:
    body = {"choices": [{"message": {"content": content}}]}
    return httpx.MockTransport(lambda _: httpx.Response(status, json=body))


def service(answer: httpx.BaseTransport) -> ParaphrasingService:
    return ParaphrasingService("http://127.0.0.1:9/v1/", "any", transport=answer)


@pytest.mark.parametrize(
    ("question", "others"),
    [
        ("What happens if I am late?", ["If I am late, what happens?"]),
        ("In Berlin, what is the opening time?", ["What is the opening time in Berlin?"]),
        (
            "What is the price of the lamp?",
            ["Tell me what the price of the lamp is.", "What's the price of the lamp?"],
        ),
        ("How much is the lamp?", ["how much is the lamp?", "How much is the lamp"]),
    ],
)
def test_a_question_is_put_in_other_orders(question: str, others: list[str]) -> None:
    found = paraphrases(question, count=50, rng=random.Random(0))
    assert set(others) <= set(found)
    assert question not in found
    assert len(found) == len(set(found)) > 10


@pytest.mark.parametrize(
    "question", [ASKED, "Who is Ana?", "My order 4711 is late, what can I do?", "Why?", "é"]
)
def test_no_content_word_comes_or_goes(question: str) -> None:
    found = paraphrases(question, count=50, rng=random.Random(0))
    manners = content_words(
        "Thanks hello quick question thing more like know sorry bother not am who's"
    )
    for text in found:
        assert content_words(question) <= content_words(text)
        assert content_words(text) - content_words(question) <= manners | {"one"}
    assert not says_the_same(ASKED, ASKED.replace("lamp", "chair"))
    assert not says_the_same(ASKED, ASKED + " And the red one?")


def test_what_is_not_english_gets_no_english_around_it() -> None:
    asked = "Was kostet die Lampe in Berlin?"
    found = paraphrases(asked, count=50, rng=random.Random(0))
    assert not is_english(asked)
    assert found and all(text.casefold().rstrip("?") == asked.casefold()[:-1] for text in found)
    assert paraphrases("   ", count=3, rng=random.Random(0)) == []


def test_the_seed_decides_which() -> None:
    def drawn(seed: int) -> list[str]:
        return paraphrases(ASKED, count=4, rng=random.Random(seed))

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(drawn(1)) == 4


@given(st.text(max_size=80), st.integers(0, 5))
def test_typing_errors_break_nothing_that_must_stay(text: str, seed: int) -> None:
    sentence = (
        f"Please send order 4711-b to Ana Berg, ana@berg.example, via https://a.example/path {text}"
    )
    noisy = with_errors(sentence, protected={"order"}, rng=random.Random(seed))
    for kept in ("order", "4711-b", "Ana", "Berg,", "ana@berg.example,", "https://a.example/path"):
        assert kept in noisy.split()
    assert len(re.findall(r"\S+", noisy)) == len(re.findall(r"\S+", sentence))


def test_a_typing_error_is_one_that_people_make() -> None:
    found = {with_errors("lampshade", protected=(), rng=random.Random(n)) for n in range(300)}
    assert {"lampshadw", "lampshde", "lamsphade"} <= found
    assert "lampshade" not in found
    assert all(text[0] == "l" and abs(len(text) - 9) <= 1 for text in found)
    for kept in ("Ana is 5.", "iPhone", "is NASA in Rome?", "what's mid-term"):
        assert with_errors(kept, protected=(), rng=random.Random(0)) == kept


def test_what_is_repeated_is_asked_in_other_words_in_turn() -> None:
    def grown(repeats: int, **fields: Any) -> list[tuple[int, str]]:
        options = {name: fields.pop(name) for name in ("judging",) if name in fields}
        example = correction(source=fields.pop("source", "new"), repeats=repeats)
        found, _ = augmented([example], plan(**fields), **options)
        shown = sum(each.repeats * each.weight for each in found)
        assert shown == pytest.approx(repeats), "what it weighs stays"
        assert {each.target for each in found} == {ANSWER}
        assert len({each.messages[-1]["content"] for each in found}) == len(found)
        return [(each.repeats, each.made) for each in found]

    other = "paraphrase"
    assert grown(1) == [(1, "")]
    assert grown(2) == [(1, ""), (1, other)]
    assert grown(7) == [(3, ""), (3, other), (3, other)]
    assert grown(7, source="past", typing_noise=1.0) == [(3, ""), (3, other), (3, other)]
    assert grown(7, paraphrase_repeats=False) == [(7, "")]
    assert grown(2, augment_prompts=4) == [(1, ""), *[(1, other)] * 4]
    [_, judging], _ = augmented([correction(repeats=2)], plan())
    taken = normalised(judging.messages[-1]["content"])
    assert grown(2, judging={taken}) == [(2, "")]


def test_each_new_demonstration_grows_and_nothing_else() -> None:
    untouched = [
        correction(source="past"),
        correction(made="pseudo-label"),
        replace(correction(), kind="preference", rejected="No."),
    ]
    examples = [correction(), *untouched]
    grown, note = augmented(examples, plan(augment_prompts=3))
    assert not note
    assert [each for each in grown if each in untouched] == untouched
    family = grown[:4]
    assert [each.made for each in family] == ["", *["paraphrase"] * 3]
    assert [each.role for each in family] == ["demonstration", *["paraphrase"] * 3]
    assert {each.target for each in family} == {ANSWER}
    assert {(each.feedback_ids, each.cluster) for each in family} == {
        (("fbk_1",), "person fbk_1"),
    }
    assert len({each.messages[-1]["content"] for each in family}) == 4
    assert {each.messages[0]["content"] for each in family} == {"Be brief."}
    assert sum(each.weight for each in family) == pytest.approx(1.0)
    full, _ = augmented(examples, plan(augment_prompts=3, augmentation_weight="full"))
    assert {each.weight for each in full[:4]} == {1.0}


def test_a_share_of_the_questions_is_mistyped_but_for_what_the_answer_repeats() -> None:
    examples = [correction(f"{ASKED} Number {n}.", name=f"fbk_{n}") for n in range(60)]
    grown, _ = augmented(examples, plan(typing_noise=0.5))
    noisy = [each for each in grown if each.made == "typing noise"]
    assert 15 < len(noisy) < 45
    for each in noisy:
        asked = each.messages[-1]["content"]
        assert "lamp" in asked.split() and "Berlin" in asked and "X40?" in asked
    assert augmented(examples, plan(typing_noise=0.5)) == (grown, "")
    assert augmented(examples, plan(typing_noise=0.5, seed=1))[0] != grown
    assert augmented(examples, plan()) == (examples, "")


def test_who_else_spoke_changes_no_paraphrase() -> None:
    alone, _ = augmented([correction()], plan(augment_prompts=2, typing_noise=1.0))
    among, _ = augmented(
        [correction("Why?", name="fbk_0"), correction()], plan(augment_prompts=2, typing_noise=1.0)
    )
    assert alone == [each for each in among if each.feedback_ids == ("fbk_1",)]


def test_a_service_is_asked_with_its_key_and_its_paraphrases_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, "secret")
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        texts = '["How dear is the Berlin lamp with X40?", "Price of the Berlin lamp, code X40?"]'
        return httpx.Response(200, json={"choices": [{"message": {"content": f"Sure:\n{texts}"}}]})

    grown, note = augmented(
        [correction()], plan(augment_prompts=2), service=service(httpx.MockTransport(answer))
    )
    assert [each.messages[-1]["content"] for each in grown[1:]] == [
        "How dear is the Berlin lamp with X40?",
        "Price of the Berlin lamp, code X40?",
    ]
    assert not note
    [request] = seen
    assert str(request.url) == "http://127.0.0.1:9/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer secret"
    assert ASKED in request.content.decode() and ANSWER not in request.content.decode()


@pytest.mark.parametrize(
    ("transport", "told"),
    [
        (replies("{}", status=503), "answered 503"),
        (replies("I would rather not."), "list of texts"),
        (replies("[1, 2]"), "list of texts"),
        (replies('["What does the chair from Berlin cost with X40?"]'), "lost a name"),
    ],
)
def test_patterns_stand_in_for_a_service_that_fails_and_a_note_says_so(
    transport: httpx.MockTransport, told: str
) -> None:
    grown, note = augmented([correction()], plan(augment_prompts=2), service=service(transport))
    assert [each.made for each in grown] == ["", "paraphrase", "paraphrase"]
    assert all(content_words(ASKED) <= content_words(e.messages[-1]["content"]) for e in grown)
    assert told in note and "1 of 1" in note


def test_a_service_that_is_away_is_not_asked_for_ever() -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ConnectError("refused")

    pairs = [(f"{ASKED} {n}", ANSWER) for n in range(200)]
    told = service(httpx.MockTransport(refuse)).paraphrases(pairs, count=2)
    assert told.paraphrases == ((),) * 200
    assert "ConnectError" in told.note and "200 of 200" in told.note
    assert len(asked) < 20


def test_a_round_that_is_to_stop_asks_nobody() -> None:
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("somebody was asked")

    asks = service(httpx.MockTransport(never))
    grown, _ = augmented(
        [correction()], plan(augment_prompts=1), service=asks, should_stop=lambda: True
    )
    assert len(grown) == 2
    told = asks.paraphrases([(ASKED, ANSWER)], count=1, should_stop=lambda: True)
    assert told.paraphrases == ((),)


@pytest.mark.parametrize(
    ("other", "kept"),
    [
        ("How expensive is the lamp from Berlin, code X40?", True),
        ("How expensive is the lamp from Berlin, code X41?", False),
        ("How expensive is the lamp from Berlin?", False),
        ("How expensive is it from Berlin with X40?", False),
        ("How expensive is the lamp from Rome with X40?", False),
        (ASKED, False),
        (" ", False),
        ("lamp Berlin X40 " * 20, False),
    ],
)
def test_a_paraphrase_keeps_numbers_names_and_what_the_answer_repeats(
    other: str, kept: bool
) -> None:
    assert keeps_meaning(ASKED, other, answer=ANSWER) is kept


@pytest.mark.parametrize("wrong", ["4712 at https://a.example/b", "4711 at https://a.example/c"])
def test_a_number_and_a_link_stay_whatever_the_answer_says(wrong: str) -> None:
    asked = "is order 4711 at https://a.example/b late?"
    right = asked.replace("late", "delayed")
    assert keeps_meaning(asked, right, answer="Yes.")
    assert not keeps_meaning(
        asked, right.replace("4711 at https://a.example/b", wrong), answer="Yes."
    )
