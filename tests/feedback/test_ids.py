"""Identifiers."""

import os
from types import SimpleNamespace

import pytest

from feedback import ids
from feedback.ids import BODY_LENGTH, new_id, new_ids


def test_an_id_names_its_kind_and_has_a_fixed_width() -> None:
    made = new_id("fbk")
    prefix, _, body = made.partition("_")
    assert prefix == "fbk"
    assert len(body) == BODY_LENGTH


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [0, 1_000_000, 1_700_000_000_000_000_000, 1_700_000_000_001_000_000, 1 << 68]
    made = []
    for moment in moments:
        monkeypatch.setattr(ids, "time", _clock(moment))
        made.append(new_id("fbk"))
    assert made == sorted(made)


def test_ids_do_not_collide_within_a_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "time", _clock(1_700_000_000_000_000_000))
    assert len({new_id("fbk") for _ in range(1000)}) == 1000


def test_ids_made_together_rise_and_none_comes_twice() -> None:
    made = [name for _ in range(20) for name in new_ids("fbk", 500)]
    assert len(set(made)) == 10_000
    for at in range(0, len(made), 500):
        assert made[at : at + 500] == sorted(made[at : at + 500])


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    new_id("fbk")  # there is something left over that both would use
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id("fbk")[-16:].encode())
        os._exit(0)
    mine = new_id("fbk")[-16:]
    os.waitpid(child, 0)
    theirs = os.read(reading, 16).decode()
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 16
    assert mine != theirs


def _clock(nanoseconds: int) -> SimpleNamespace:
    return SimpleNamespace(time_ns=lambda: nanoseconds)
