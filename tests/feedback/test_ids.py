"""Identifiers."""

from types import SimpleNamespace

import pytest

from feedback import ids
from feedback.ids import BODY_LENGTH, new_id


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


def _clock(nanoseconds: int) -> SimpleNamespace:
    return SimpleNamespace(time_ns=lambda: nanoseconds)
