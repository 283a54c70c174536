"""Conversations that a round may rehearse."""

from trainer.starter.pool import protected_questions
from trainer.starter.rehearsed import rehearsed
from trainer.starter.world import is_polite, says_unknown, shop


def test_they_are_as_varied_as_what_the_starter_was_taught() -> None:
    rows = rehearsed(400)
    longer = [row for row in rows if len(row["messages"]) > 2]
    told = [row for row in rows if row["messages"][0]["role"] == "system"]
    unknown = [row for row in rows if says_unknown(row["target"])]
    assert min(map(len, (longer, told, unknown))) > 40
    assert all(row["messages"][-1]["role"] == "user" and row["target"] for row in rows)


def test_both_tones_are_rehearsed() -> None:
    curt = [row for row in rehearsed(400) if not is_polite(row["target"])]
    assert {row["messages"][0]["role"] for row in curt} == {"system", "user"}
    assert 0.2 < len(curt) / 400 < 0.8


def test_neither_what_is_protected_nor_what_is_examined_is_rehearsed() -> None:
    world = shop()
    kept = protected_questions()
    held_out = [q for key in world.keys for q in world.phrasings(key, held_out=True)]
    for row in rehearsed(1_000):
        asked = row["messages"][-1]["content"]
        assert not any(question in asked for question in kept)
        assert not any(f" {question}" in f" {asked}" for question in held_out)


def test_they_are_the_same_again_and_judge_nothing() -> None:
    rows = rehearsed(300)
    assert rehearsed(100) == rows[:100]
    assert len({row["id"] for row in rows}) == 300
    assert not any(row["judge"] for row in rows)
