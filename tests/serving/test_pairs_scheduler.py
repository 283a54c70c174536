"""The scheduler counts what reviewers said, and lets no round stand in another's way."""

from typing import Any

import pytest

from feedback.store import Store
from serving.scheduler import Scheduler
from serving.settings import Settings
from tests import builders, compared
from trainer import pair_store, registry
from trainer import round as rounds

PAIRS = [compared.pair(number) for number in range(12)]


def scheduler(store: Store, monkeypatch: pytest.MonkeyPatch, **trainer: Any) -> Scheduler:
    """A scheduler that starts no process."""
    given = {"base_model": "bare", "minimum_material": 2, "new_material": 2, **trainer}
    settings = Settings.model_validate({"feedback": store.settings, "trainer": given})
    made = Scheduler(store, settings)
    monkeypatch.setattr(made, "_start", lambda round_id: None)
    return made


def test_a_tick_promotes_a_round_that_reviewers_judged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = compared.judged(store, PAIRS, gate_pairs_needed=12)
    ticking = scheduler(store, monkeypatch)
    ticking.tick()
    assert compared.of(store, row.id).state == "pending"
    compared.prefer(store, row.id, *["candidate"] * 12)
    ticking.tick()
    assert compared.of(store, row.id).state == "pending"  # a wrong key can still be put right
    with store.session(write=True) as session:
        for verdict in pair_store.verdicts(session, row.id):
            verdict.decided_at -= pair_store.GRACE_SECONDS + 1
            session.add(verdict)
        session.commit()
    ticking.tick()
    assert compared.of(store, row.id).state == "promoted"
    with store.session() as session:
        assert registry.live_id(session) == row.candidate_id


def test_a_round_that_is_due_ends_one_that_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = compared.judged(store, PAIRS)
    ticking = scheduler(store, monkeypatch)
    builders.say(store, "later 1")
    ticking.tick()
    assert compared.of(store, row.id).state == "pending"  # nothing is due yet
    builders.say(store, "later 2")
    ticking.tick()
    ended = compared.of(store, row.id)
    assert ended.state == "abstained" and "A later round opened" in ended.message
    with store.session() as session:
        opened = rounds.current(session)
    assert opened is not None and opened.trigger == "2 new pieces of feedback wait"
