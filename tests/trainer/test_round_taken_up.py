"""A round whose process is killed goes on where it stood, and ends in the same adapter."""

import os
import signal
import time
from pathlib import Path

import pytest

from feedback.people import people_key
from feedback.store import Store
from serving.forgetting import forget
from tests import builders
from tests.serving.command_line import store_at
from tests.trainer import shop
from tests.trainer.shop import corrected
from trainer import candidate as making
from trainer import checkpoints, curve, learner, lease, registry, snapshot
from trainer import round as rounds
from trainer.executors.warm import WarmExecutor
from trainer.interpolation import interpolate
from trainer.models import Adapter, Round
from trainer.settings import Plan

PATIENCE_SECONDS = 120.0
STEPS = 60
OPTIONS = {
    "minimum_steps": STEPS,
    "replay_share": 0,
    "held_out_share": 0.01,
    "max_new_tokens": 2,
    "checkpoint_seconds": 0,
}


def opened(store: Store, model: Path) -> Round:
    for number in range(6):
        corrected(store, f"What is {number}?", f"It is {number}.", who=f"p{number}")
    return shop.opened(store, model, **OPTIONS)


def wait_for(folder: Path, step: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if any(int(path.name[5:]) >= step for path in folder.glob("step-*")):
            return
        time.sleep(0.002)
    raise AssertionError(f"no checkpoint of step {step}")


def test_killed_at_three_places_a_round_ends_in_the_same_adapter(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path / "data", monkeypatch)
    data_dir = store.settings.data_dir
    row = opened(store, tiny_model)
    kept = checkpoints.folder(data_dir, row.id)
    executor = WarmExecutor(store.settings)
    try:
        for step in (3, 20, 40):
            executor.start(row.id)
            wait_for(kept, step)
            assert executor.pid is not None
            os.kill(executor.pid, signal.SIGKILL)
            executor.wait()
            assert executor.killed
            with store.session(write=True) as session:
                assert rounds.get(session, row.id).state == "open"
                lease.expire(store, session, "round", pid=executor.pid)
                session.commit()
        executor.start(row.id)
        executor.wait(PATIENCE_SECONDS)
        assert not executor.killed
    finally:
        executor.stop()
    with store.session() as session:
        ended = rounds.get(session, row.id)
        assert ended.state == "promoted", executor.log.read_text()
        candidate = session.get_one(Adapter, ended.candidate_id)
    assert ended.attempts == 4
    taken_up = [note for note in ended.counts["notes"] if "Taken up again" in note]
    assert len(taken_up) == 3
    assert not kept.exists()
    drawn = curve.drawn(data_dir, row.id)
    assert [step["step"] for step in drawn] == list(range(1, STEPS + 1))

    assert ended.snapshot_sha256 is not None
    frozen = snapshot.Snapshot(data_dir / "snapshots" / row.id, ended.snapshot_sha256)
    undisturbed = tmp_path / "undisturbed"
    plan = Plan.model_validate(ended.plan)
    done = learner.train(
        plan, tiny_model, snapshot.read(frozen), parent=None, out=undisturbed, report=lambda _: None
    )
    interpolate(None, undisturbed, share=float(plan.step_share))
    published = registry.folder(data_dir, candidate.digest)
    for name in registry.FILES:
        assert (published / name).read_bytes() == (undisturbed / name).read_bytes()
    assert [step["loss"] for step in drawn] == list(done.losses)
    store.close()


def test_what_was_frozen_stays_though_people_go_on_talking(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model's own answers stand in for general material; new ones must not start it anew."""
    store = store_at(tmp_path / "data", monkeypatch)
    row = opened(store, tiny_model)
    with store.session(write=True) as session:
        found = session.get_one(Round, row.id)
        # Neighbours would stand in the place of some of the few.
        found.plan = {**found.plan, "replay_share": 0.8, "neighbour_share": 0.0, "gate": "on"}
        session.add(found)
        session.commit()
    for number in range(12):
        builders.recorded(store, question=f"Is {number} far?", answer="Not at all.")
    shas = []

    def stop(*_: object, **__: object) -> None:
        with store.session() as session:
            shas.append(rounds.get(session, row.id).snapshot_sha256)
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "train", stop)

    def attempt() -> None:
        with pytest.raises(KeyboardInterrupt):
            rounds.run(store, store.settings, row.id)

    attempt()
    folder = store.settings.data_dir / "snapshots" / row.id
    assert "Not at all." in (folder / snapshot.ROWS).read_text()
    for number in range(12):
        builders.recorded(store, question=f"Is {number} near?", answer="Very.")
    attempt()
    assert shas[0] == shas[1]
    before = snapshot.feedback_ids(folder)
    kept = checkpoints.folder(store.settings.data_dir, row.id)
    checkpoints.write(kept, checkpoints.State(1, {}, {}), work="this")
    people = people_key(store.settings.data_dir)
    forget(store, people, builders.person("p0"), actor="test")
    assert not kept.exists()
    attempt()
    assert shas[2] != shas[1]
    assert snapshot.feedback_ids(folder) < before
    store.close()
