"""What a round's training starts from."""

from pathlib import Path

import pytest
from sqlmodel import select

from feedback.errors import Conflict, Invalid, NotFound
from feedback.store import Store
from tests import builders
from trainer import opening, registry, starting
from trainer.models import Round
from trainer.settings import TrainerSettings


def resolved(store: Store, wanted: str | None, live_id: str | None) -> str | None:
    with store.session() as session:
        return starting.resolve(session, wanted, live_id=live_id)


def test_a_checkpoint_beside_the_live_adapter_is_where_the_next_round_starts(store: Store) -> None:
    root = builders.live(store, builders.published(store))
    checkpoint = builders.published(store, parent=root.id)
    end = builders.live(store, builders.published(store, parent=root.id))
    assert resolved(store, checkpoint.id, end.id) == checkpoint.id
    assert resolved(store, None, end.id) is None
    with store.session(write=True) as session:
        settings = TrainerSettings(start_from=checkpoint.id)
        row = opening.insert(session, settings, trigger="test")
        session.commit()
        assert (row.plan["start_from"], row.incumbent_id) == (checkpoint.id, end.id)
        start = starting.found(session, store.settings.data_dir, row, settings.plan())
    assert start.adapter_id == checkpoint.id
    assert start.folder == registry.folder(store.settings.data_dir, checkpoint.digest)


def test_once_what_is_live_descends_from_it_rounds_go_on_from_what_is_live(store: Store) -> None:
    checkpoint = builders.published(store)
    end = builders.live(store, builders.published(store, parent=checkpoint.id))
    assert resolved(store, checkpoint.id, end.id) is None
    assert resolved(store, end.id, end.id) is None


def test_no_round_starts_from_what_was_refused_unknown_or_of_another_base(store: Store) -> None:
    refused = builders.published(store, state="rejected")
    with pytest.raises(Conflict, match="refused by the gate"):
        resolved(store, refused.id, None)
    with pytest.raises(NotFound):
        resolved(store, "adp_none", None)
    starting.Start().check("any base")
    with pytest.raises(Invalid, match="another base model"):
        starting.Start("adp_1", Path("x"), "b" * 64).check("c" * 64)


def test_a_checkpoint_older_than_what_feedback_taught_since_is_refused(store: Store) -> None:
    checkpoint = builders.published(store)
    end = builders.live(store, builders.published(store))
    builders.learned(store, end)
    with pytest.raises(Conflict, match="older than round") as fault:
        resolved(store, checkpoint.id, end.id)
    assert str(end.round_id) in fault.value.message


def test_rolling_back_passes_over_a_checkpoint_that_nobody_judged(store: Store) -> None:
    root = builders.live(store, builders.published(store))
    checkpoint = builders.published(store, parent=root.id)
    builders.live(store, builders.published(store, parent=checkpoint.id))
    with store.session(write=True) as session:
        assert registry.rollback(session, actor="test").live_id == root.id
        session.commit()


def test_an_open_round_keeps_others_from_opening(store: Store) -> None:
    row = builders.opened_round(store)
    with store.session(write=True) as session:
        with pytest.raises(Conflict, match=row.id):
            opening.vacant(session)
        assert session.exec(select(Round)).one().id == row.id
