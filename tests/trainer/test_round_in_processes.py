"""A whole round whose training two processes share."""

import subprocess
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.store import Store
from tests.trainer.shop import priced, promoted, say
from trainer import registry
from trainer.models import Adapter


@pytest.mark.slow  # as long as it takes a process to import torch and its friends
def test_a_round_of_two_processes_is_promoted_and_leaves_nothing_behind(
    store: Store, tiny_model: Path, beside: list[subprocess.Popen[bytes]]
) -> None:
    for name in ("lamp", "rug", "chair", "bowl"):
        priced(store, name)
    say(store, "fan", "Is it open?", "It is open.", rating="up")
    row = promoted(store, tiny_model, epochs=3, processes=2)
    with store.session() as session:
        adapter = session.exec(select(Adapter).where(Adapter.round_id == row.id)).one()
        assert registry.verify(store.settings.data_dir, adapter)
    assert [process.poll() is None for process in beside] == [False]
    assert list((store.settings.data_dir / "work").iterdir()) == []
