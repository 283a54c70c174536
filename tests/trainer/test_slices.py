"""Slices that fare worse are found, and chance is not taken for one."""

import random

import pytest

from feedback.languages import UNCLEAR, language
from trainer.slices import Asked, slices

ENGLISH = ["What does the lamp number {n} cost today?", "How heavy is the chair number {n}?"]
GERMAN = ["Was kostet die Lampe Nummer {n} heute bei euch?", "Wie schwer ist der Stuhl Nummer {n}?"]


def _asked(count: int, texts: list[str], **tags: str) -> list[Asked]:
    return [
        Asked(texts[n % 2].format(n=n), cluster=f"{texts[0][:3]} {n // 2}", tags=tags)
        for n in range(count)
    ]


def test_languages_are_told_apart_and_short_texts_are_unclear() -> None:
    assert language(GERMAN[0]) == "de"
    assert language(ENGLISH[0]) == "en"
    assert language("Combien coûte la lampe dans votre magasin ?") == "fr"
    assert language("ok") == UNCLEAR


def test_a_language_that_fares_worse_is_named() -> None:
    asked = _asked(200, ENGLISH) + _asked(60, GERMAN)
    rng = random.Random(0)
    values = [float(rng.random() < (0.9 if at < 200 else 0.6)) for at in range(260)]
    worst = slices(asked, values)[0]
    assert worst.name in ("language de", "topic kostet, lampe, nummer")
    german = next(each for each in slices(asked, values) if each.name == "language de")
    assert german.worse and german.upper < 0
    assert german.items == 60
    assert german.value == pytest.approx(sum(values[200:]) / 60)
    assert german.elsewhere == pytest.approx(sum(values[:200]) / 200)


def test_tags_make_slices_and_ids_do_not() -> None:
    asked = [
        Asked(ENGLISH[0], str(n), {"shop": "north" if n % 2 else "south", "id": str(n)})
        for n in range(100)
    ]
    names = {each.name for each in slices(asked, [float(n % 2) for n in range(100)])}
    assert names == {"tag shop=north", "tag shop=south"}


def test_chance_is_seldom_taken_for_bias() -> None:
    alarms = 0
    for seed in range(15):
        rng = random.Random(seed)
        asked = _asked(150, ENGLISH, shop="north") + _asked(150, GERMAN, shop="south")
        values = [float(rng.random() < 0.8) for _ in asked]
        alarms += any(each.worse for each in slices(asked, values, seed=seed))
    assert alarms <= 2


def test_people_and_not_items_are_counted() -> None:
    # Twenty people said the same ten times each; ten of them write German and fare worse by luck.
    rng = random.Random(3)
    asked, values = [], []
    for person in range(20):
        luck = float(rng.random() < 0.7)
        for n in range(10):
            text = (ENGLISH if person < 10 else GERMAN)[n % 2].format(n=n)
            asked.append(Asked(text, f"person {person}", {}))
            values.append(luck)
    german = next(each for each in slices(asked, values) if each.name == "language de")
    alone = [Asked(a.prompt, str(n), {}) for n, a in enumerate(asked)]
    apart = next(each for each in slices(alone, values) if each.name == "language de")
    assert german.upper - german.lower > 2 * (apart.upper - apart.lower)


def test_a_slice_without_a_single_failure_still_has_a_width() -> None:
    asked = _asked(40, ENGLISH) + _asked(40, GERMAN)
    for each in slices(asked, [1.0] * 80):
        assert each.lower < 0 < each.upper and not each.worse


def test_too_few_items_make_no_slice() -> None:
    assert slices(_asked(30, ENGLISH) + _asked(10, GERMAN), [1.0] * 40) == ()
    assert slices([], []) == ()
    with pytest.raises(ValueError, match="one value"):
        slices(_asked(2, ENGLISH), [1.0])
