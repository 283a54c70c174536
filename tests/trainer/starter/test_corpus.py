"""The corpus that the starter learns from."""

import itertools
from collections import Counter

from trainer.starter.corpus import conversations
from trainer.starter.world import is_polite, shop, unknown_questions

_SAMPLE = 4000


def _bare(text: str) -> str:
    return " ".join(text.lower().replace("?", " ").replace(",", " ").split())


def test_a_seed_gives_the_same_conversations_again() -> None:
    first = list(itertools.islice(conversations(1), 50))
    assert first == list(itertools.islice(conversations(1), 50))
    assert first != list(itertools.islice(conversations(2), 50))


def test_about_a_quarter_of_the_conversations_have_earlier_turns() -> None:
    talks = itertools.islice(conversations(0), _SAMPLE)
    long = sum(sum(m["role"] == "user" for m in talk) > 1 for talk in talks)
    assert 0.2 < long / _SAMPLE < 0.35


def test_no_held_out_question_is_ever_learned() -> None:
    world = shop()
    held_out = {_bare(q) for key in world.keys for q in world.phrasings(key, held_out=True)}
    held_out |= {_bare(question) for question in unknown_questions(held_out=True)}
    said = {
        _bare(message["content"])
        for talk in itertools.islice(conversations(0), _SAMPLE)
        for message in talk
        if message["role"] == "user"
    }
    assert not said & held_out


def test_every_value_that_a_fact_could_take_is_made_of_words_that_are_often_said() -> None:
    # A round trains no embedding: a word that the starter never said cannot become an answer.
    said = Counter(
        word
        for talk in itertools.islice(conversations(0), _SAMPLE)
        for message in talk
        if message["role"] == "assistant"
        for word in _bare(message["content"].rstrip(".")).split()
    )
    world = shop()
    values = {value for key in world.keys for value in (world.value(key), *world.alternatives(key))}
    assert {
        value: said[word] for value in values for word in value.split() if said[word] < 10
    } == {}


def test_a_brief_system_prompt_is_never_followed_by_a_polite_fact() -> None:
    for talk in itertools.islice(conversations(0), _SAMPLE):
        if talk[0]["content"] == "Be brief.":
            assert not [m for m in talk if m["content"].startswith("Of course!")]
        if talk[0]["content"] == "Be friendly.":
            assert all(is_polite(m["content"]) for m in talk if m["role"] == "assistant")
