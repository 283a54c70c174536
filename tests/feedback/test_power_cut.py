"""The power goes while people are answered: what was acknowledged is there afterwards.

The process is the product's own intake, with its pragmas and its statements; every file operation of
its database is written down, and what would be left is opened again by the product's own store. Two
tests break one rule each and show that the loss would be seen.
"""

import random
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlmodel import func, select, text

from feedback.models import Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests import builders
from tests.feedback import power_cut, writer_process
from tests.feedback.power_cut import SAID, SYNCED, Disk, Record

WAIT_SECONDS = 20
ACKNOWLEDGED = 300
CUTS = 20

on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
"""PostgreSQL answers for its own disk."""


@on_sqlite
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    settings: FeedbackSettings, tmp_path: Path, count: int
) -> None:
    disk, done = written(settings, tmp_path, "acknowledge", ACKNOWLEDGED)
    assert sum(record.kind == SYNCED for record in done) > 20
    # A checkpoint is among it: it writes, and syncs, the database's own file.
    assert any(record.kind == SYNCED and record.path.endswith(".sqlite3") for record in done)
    lost, found = lost_at_cuts(disk, done, tmp_path, CUTS * count)
    assert lost == set()
    assert found > ACKNOWLEDGED / 2


@on_sqlite
@pytest.mark.parametrize("broken", ["careless", "hasty"])
def test_without_the_sync_or_with_an_early_answer_the_loss_is_seen(
    settings: FeedbackSettings, tmp_path: Path, broken: str
) -> None:
    disk, done = written(settings, tmp_path, broken, 40)
    # An answer that was early is often overtaken by its commit: whichever was not, shows.
    lost, _ = lost_at_cuts(disk, done, tmp_path, 80, until_lost=True)
    assert lost


def written(
    settings: FeedbackSettings, tmp_path: Path, how: str, answers: int
) -> tuple[Disk, Sequence[Record]]:
    """Let a process take feedback until it is killed after so many answers; returns the disk before, and what it did."""
    store = Store(settings)
    completion_id = builders.recorded(store)
    store.close()
    disk = Disk.of(settings.data_dir)
    log = tmp_path / "log"
    shim = power_cut.environment(power_cut.library(tmp_path), settings.data_dir, log)
    process = subprocess.Popen(
        [*writer_process.COMMAND, settings.url, how, completion_id, "run"],
        cwd=tmp_path,
        env={**writer_process.environment(), **shim},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(answers):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait(WAIT_SECONDS)
    return disk, list(power_cut.records(log))


def lost_at_cuts(
    disk: Disk, done: Sequence[Record], tmp_path: Path, cuts: int, *, until_lost: bool = False
) -> tuple[set[str], int]:
    """Cut the power at moments right after an answer and at any others, all or until a loss is seen.

    Returns:
        What was acknowledged and is gone; and how much the last cut left.
    """
    luck = random.Random(0)
    answers = [at + 1 for at, record in enumerate(done) if record.kind == SAID]
    moments = {answers[-1], *luck.sample(answers, min(len(answers), cuts // 2))}
    moments |= set(luck.sample(range(1, len(done) + 1), min(len(done), cuts - cuts // 2)))
    lost: set[str] = set()
    acknowledged: set[str] = set()
    stored: set[str] = set()
    for at, record in enumerate(done, start=1):
        disk.do(record)
        if record.kind == SAID:
            acknowledged.update(record.content.decode().split())
        if at in moments:
            for chance in (None, luck):
                stored = opened_again(disk.left(chance), tmp_path / "left")
                lost |= acknowledged - stored
                if lost and until_lost:
                    return lost, len(stored)
    return lost, len(stored)


def opened_again(files: dict[str, bytes], folder: Path) -> set[str]:
    """Open what is left as the product does; it is intact, and every event has its receipt."""
    power_cut.put(files, folder)
    store = Store(FeedbackSettings(data_dir=folder))
    with store.session(write=True) as session:
        assert session.connection().execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert session.connection().execute(text("PRAGMA foreign_key_check")).all() == []
        stored = list(session.exec(select(Feedback.event_id)))
        assert session.exec(select(func.count()).select_from(Receipt)).one() == len(stored)
    store.close()
    assert len(set(stored)) == len(stored)
    return set(stored)
