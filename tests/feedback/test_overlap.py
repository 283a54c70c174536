"""Texts that share most of their words, found without comparing all with all."""

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import overlap


def by_comparing_all(texts: list[str]) -> list[int]:
    """The same groups, found the slow way."""
    leaders: list[frozenset[object]] = []
    numbers = []
    for text in texts:
        words = re.findall(r"[^\W_]+", text.casefold()) or [text]
        bag = frozenset([*words, *pairwise(words)])
        near = (
            number
            for number, other in enumerate(leaders)
            if len(bag & other) >= overlap.ALIKE * len(bag | other)
        )
        number = next(near, len(leaders))
        if number == len(leaders):
            leaders.append(bag)
        numbers.append(number)
    return numbers


@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_comparing_all_texts_with_all_finds(seed: int) -> None:
    luck = random.Random(seed)
    vocabulary = [f"word{number}" for number in range(luck.choice([10, 50, 300]))]
    sentences = [luck.choices(vocabulary, k=luck.randint(0, 25)) for _ in range(20)]
    texts = []
    for _ in range(150):
        words = list(luck.choice(sentences))
        for _ in range(luck.randint(0, 4) if words else 0):
            words[luck.randrange(len(words))] = luck.choice(["Other", "words!", "é", "🙂"])
        texts.append(" ".join(words) + luck.choice(["", "!", " ."]))
    assert overlap.groups(texts) == by_comparing_all(texts)
    for start in range(0, len(texts), 10):
        few = texts[start : start + luck.randint(1, overlap.FEW)]
        assert overlap.groups(few) == by_comparing_all(few)


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "-"])).map(" ".join), max_size=6))
def test_few_texts_of_few_words_are_compared_with_each_other(texts: list[str]) -> None:
    """Where pairs of words are many and words few, nothing is passed over by mistake."""
    assert overlap.groups(texts) == by_comparing_all(texts)


def test_long_texts_of_which_a_sample_is_looked_at_are_found_too() -> None:
    luck = random.Random(0)
    originals = [[f"word{luck.randrange(5000)}" for _ in range(400)] for _ in range(30)]
    texts = []
    for words in originals:
        changed = list(words)
        for at in luck.sample(range(400), 8):
            changed[at] = "other"
        texts += [" ".join(words), " ".join(changed)]
    assert overlap.groups(texts) == [number // 2 for number in range(60)]


def test_answers_after_one_pattern_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    alike = overlap._Bags.alike

    def counted(bags: overlap._Bags, one: int, other: int) -> bool:
        nonlocal compared
        compared += 1
        return alike(bags, one, other)

    monkeypatch.setattr(overlap._Bags, "alike", counted)
    texts = [f"What about number {n}, and why? Number {n} is what it is." for n in range(2000)]
    assert overlap.groups(texts) == list(range(2000))
    assert compared < 2000  # all with all would be two millions


def test_the_order_says_who_leads_and_nothing_else_matters() -> None:
    texts = ["one two three", "Three!", "ONE, two; three", "three", "one two three"]
    assert overlap.groups(texts) == [0, 1, 0, 1, 0]
    assert overlap.groups([]) == []


def test_more_texts_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "MOST_TEXTS", 2)
    with pytest.raises(ValueError, match="more than the 2"):
        overlap.groups(["one", "two", "three"])
