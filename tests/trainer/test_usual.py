"""What was usual is known without a word of it being kept."""

import json

import pytest

from trainer.usual import BUCKETS, Usual, learn

THINGS = ("lamp", "chair", "table", "shelf", "mirror")
QUESTIONS = ("What does the {} cost?", "How long does delivery of the {} take?", "Is the {} blue?")
PROMPTS = [question.format(thing) for thing in THINGS for question in QUESTIONS] * 10


def test_new_subjects_and_languages_are_unusual_and_old_ones_are_not() -> None:
    usual = learn(PROMPTS, [40] * len(PROMPTS))
    assert sum(usual.unusual(each) for each in PROMPTS) <= 0.2 * len(PROMPTS)
    for prompt in ("Write a poem about autumn", "Wie wird das Wetter?", "明天天气怎么样", ""):
        assert usual.unusual(prompt) == 1.0
    assert usual.unusual("Tell me: is the mirror blue?") == 0.0


def test_lengths_are_told_from_the_median() -> None:
    usual = learn(PROMPTS[:5], [10, 20, 30, 40, 50])
    assert [usual.longer(length) for length in (29, 30, 31)] == [0.0, 0.5, 1.0]


def test_where_nothing_is_alike_only_what_shares_no_word_is_unusual() -> None:
    usual = learn([f"subject{number} matter{number}" for number in range(100)], [1] * 100)
    assert usual.unusual("subject5 indeed") == 0.0
    assert usual.unusual("qwertz uiop") == 1.0


def test_it_is_plain_data_of_numbered_buckets() -> None:
    usual = learn(PROMPTS, [40] * len(PROMPTS))
    kept = json.loads(json.dumps(usual.to_json()))
    assert Usual(**kept) == usual
    assert all(0 <= int(bucket) < BUCKETS for bucket in kept["known"])
    assert "lamp" not in json.dumps(kept)


def test_nothing_is_usual_where_nothing_was_asked() -> None:
    with pytest.raises(ValueError, match="Nothing is usual"):
        learn([], [])
