"""A round that is killed leaves nothing half done, and is taken up again where it matters."""

import os
import signal
import time
from pathlib import Path

import pytest
from sqlmodel import select

from feedback import receipts, review
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests.builders import recorded, say
from trainer import lease, registry
from trainer import round as rounds
from trainer.executors.local import LocalExecutor
from trainer.models import Adapter, Round, RoundEvent
from trainer.settings import TrainerSettings
from trainer.starter.world import shop

PATIENCE_SECONDS = 120.0
KILLS = [["train", "evaluate"]]
if int(os.environ.get("HEED_TEST_COUNT", "1")) > 1:
    KILLS += [["claim"], ["examples"], ["train"], ["evaluate"], ["apply"]] * 4


@pytest.mark.parametrize("stages", KILLS, ids="-".join)
def test_a_round_killed_midway_leaves_nothing_half_done_and_ends_when_taken_up(
    tmp_path: Path, stages: list[str]
) -> None:
    settings = FeedbackSettings(data_dir=tmp_path / "data")
    store = Store(settings)
    schema.upgrade(store)
    feedback_ids = _corrections(store, settings)
    plan = TrainerSettings(epochs=0.5, minimum_steps=0, replay_minimum=0, replay_share=0.5)
    with store.session(write=True) as session:
        row = rounds.open(session, settings, plan, trigger="test")
        session.commit()

    executor = LocalExecutor(settings)
    for stage in stages:
        executor.start(row.id)
        _wait_for(store, row.id, stage)
        assert executor.pid is not None
        os.kill(executor.pid, signal.SIGKILL)
        executor.wait()
        assert executor.killed

        with store.session(write=True) as session:
            assert rounds.get(session, row.id).state == "open"
            assert session.exec(select(Adapter)).all() == []
            assert registry.live(session) is None
            lease.expire(store, session, "round", pid=executor.pid)
            session.commit()
        for folder in (settings.data_dir / "adapters").glob("*"):
            assert {path.name for path in folder.iterdir()} == {*registry.FILES, registry.MANIFEST}

    executor.start(row.id)
    executor.wait(PATIENCE_SECONDS)
    with store.session() as session:
        ended = rounds.get(session, row.id)
        assert ended.state in ("promoted", "refused", "abstained"), executor.log.read_text()
        assert ended.attempts == len(stages) + 1
        (candidate,) = session.exec(select(Adapter)).all()
        published = registry.verify(settings.data_dir, candidate)
        # What was published before a kill has no row, and went with the round's end.
        assert list(published.parent.iterdir()) == [published]
        assert candidate.id == ended.candidate_id
        # Its feedback was claimed again: it was used, or waits for a reviewer or the next round.
        found = receipts.counts(session)
        told = {"promoted": ("used", "held_out"), "refused": ("review",)}
        ends = told.get(ended.state, ("waiting",))
        assert sum(found[status] for status in ends) == len(feedback_ids), found
        assert ended.report is not None
        measures = ended.report["measures"]
        assert measures["suites"]["core"]["candidate"]["accuracy"] > 0.5
        assert measures["held_out"]["candidate"]["perplexity"] > 1
    store.close()


def _corrections(store: Store, settings: FeedbackSettings) -> list[str]:
    world = shop()
    changed = world.changed({key: world.alternatives(key)[0] for key in world.keys[:4]})
    ids = []
    for key in world.keys[:4]:
        for number, question in enumerate(world.phrasings(key)[:6]):
            answer = world.answer(key, "curt")
            about = recorded(store, question=question, answer=answer, who=f"p{number}")
            ids.append(
                say(store, f"p{number}", completion_id=about, correction=changed.answer(key))
            )
    with store.session(write=True) as session:
        for feedback_id in ids:
            review.decide(
                session, settings, feedback_id=feedback_id, decision="accept", reviewer="test"
            )
        session.commit()
    return ids


def _wait_for(store: Store, round_id: str, stage: str) -> None:
    query = select(RoundEvent.stage).where(RoundEvent.round_id == round_id)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with store.session() as session:
            if stage in session.exec(query).all():
                return
            assert session.get_one(Round, round_id).state == "open"
        time.sleep(0.02)
    raise AssertionError(f"the round never reached {stage}")
