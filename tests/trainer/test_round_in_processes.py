"""A whole round whose training two processes share."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from feedback import review
from feedback.store import Store
from tests import builders
from trainer import registry
from trainer import round as rounds
from trainer.executors import ranks
from trainer.models import Adapter
from trainer.settings import TrainerSettings

ROOT = Path(__file__).parents[2]


def told(store: Store) -> None:
    """Corrections that a reviewer accepted, and a thumb."""
    for name in ("lamp", "rug", "chair", "bowl"):
        about = builders.recorded(
            store, who=f"knows {name}", question=f"What is the {name}?", answer="I do not know."
        )
        said = builders.say(
            store, f"knows {name}", completion_id=about, correction=f"It is {len(name)} dollars."
        )
        with store.session(write=True) as session:
            review.decide(
                session,
                store.settings,
                feedback_id=said,
                decision="accept",
                reviewer="rita",
            )
            session.commit()
    about = builders.recorded(store, who="fan", question="Is it open?", answer="It is open.")
    builders.say(store, "fan", completion_id=about, rating="up")


@pytest.mark.slow  # as long as it takes a process to import torch and its friends
def test_a_round_of_two_processes_is_promoted_and_leaves_nothing_behind(
    store: Store, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started: list[subprocess.Popen[bytes]] = []
    start = ranks._start

    def watched(*given: Any) -> Any:
        started.append(start(*given))
        return started[-1]

    monkeypatch.setattr(ranks, "_start", watched)
    told(store)
    settings = TrainerSettings(
        base_model=str(tiny_model),
        gate="report-only",
        rank=4,
        epochs=3,
        minimum_steps=0,
        held_out_share=0.3,
        max_new_tokens=4,
        threads=1,
        processes=2,
    )
    with store.session(write=True) as session:
        row = rounds.open(session, store.settings, settings, trigger="test")
        session.commit()
    assert rounds.run(store, store.settings, row.id) == "promoted"
    with store.session() as session:
        adapter = session.exec(select(Adapter).where(Adapter.round_id == row.id)).one()
        assert registry.verify(store.settings.data_dir, adapter)
    assert [process.poll() is None for process in started] == [False]
    assert list((store.settings.data_dir / "work").iterdir()) == []
