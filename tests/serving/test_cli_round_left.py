"""A round whose process died, for somebody who has the command line alone: it goes on, or it ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.errors import Conflict, DatabaseFull
from feedback.store import Store
from tests.builders import opened_round, receipt_of, say
from tests.serving import attendance
from tests.serving.attendance import Executor, held
from tests.serving.command_line import document, done, fault, heed, store_at
from trainer import checkpoints, lease
from trainer import round as rounds
from trainer.models import Round


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    attendance.quick(monkeypatch)
    yield store
    store.close()


def left(store: Store, **columns: object) -> tuple[Round, lease.Held]:
    """A round whose process died, with what that left on the disk and the lease that it had."""
    row = opened_round(store, **columns)
    had = held(store, row, seconds=0)
    for folder in (store.settings.data_dir / "work" / row.id, kept(store, row)):
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"half made")
    return row, had


def kept(store: Store, row: Round) -> Path:
    return checkpoints.folder(store.settings.data_dir, row.id)


def now(store: Store, row: Round) -> Round:
    with store.session() as session:
        return rounds.get(session, row.id)


def test_cancel_ends_it_at_once_and_leaves_nothing(store: Store) -> None:
    feedback_id = say(store)
    row, had = left(store)
    assert f"{row.id} is cancelled: Cancelled by hand; no process" in done(
        "round", "cancel", row.id
    )
    assert now(store, row).open_slot is None
    assert receipt_of(store, feedback_id).status == "waiting"
    assert list((store.settings.data_dir / "work").iterdir()) == []
    # Should its process have been asleep only, it can write nothing any more.
    with pytest.raises(Conflict), store.session(write=True) as session:
        lease.check(session, had)


def test_cancel_says_when_to_ask_again_while_a_process_may_run_it(store: Store) -> None:
    row = opened_round(store)
    held(store, row)
    assert "has died, ask again in 20 seconds" in done("round", "cancel", row.id)
    assert now(store, row).state == "open"


def test_run_goes_on_with_it(store: Store, executor: type[Executor]) -> None:
    row, _ = left(store)
    told = done("round", "run")
    assert f"Round {row.id} was open, and no process ran it; it goes on." in told
    assert "was promoted" in told
    assert executor.started == [row.id]
    assert not kept(store, row).exists()


def test_run_keeps_what_it_goes_on_from(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = left(store)
    start, seen = executor.start, []

    def watched(self: Executor, round_id: str) -> None:
        seen.append(kept(store, row).exists())
        start(self, round_id)

    monkeypatch.setattr(executor, "start", watched)
    assert document("round", "run")["id"] == row.id
    assert seen == [True]


def test_run_opens_another_after_one_that_was_cancelled_or_died_too_often(
    store: Store, executor: type[Executor]
) -> None:
    say(store)
    cancelled, _ = left(store, cancel_requested=True)
    told = done("round", "run")
    assert f"Round {cancelled.id} was open, and it is cancelled now" in told
    dead, _ = left(store, attempts=2)
    told = done("round", "run")
    assert f"Round {dead.id} was open, and it is failed now: Its process died 3 times" in told
    assert len(executor.started) == 2
    assert not {cancelled.id, dead.id} & set(executor.started)
    assert list((store.settings.data_dir / "work").iterdir()) == []


def test_run_from_an_adapter_says_that_another_round_comes_first(
    store: Store, executor: type[Executor]
) -> None:
    row, _ = left(store)
    told = fault("round", "run", "--from", "adp_any")
    assert "--from is for a new one" in told and f"heed round cancel {row.id}" in told
    assert now(store, row).state == "open"
    assert executor.started == []


def test_pretrain_says_what_goes_on_with_it(store: Store, tmp_path: Path) -> None:
    row, _ = left(store)
    told = fault("pretrain", str(tmp_path))
    assert row.id in told and "`heed round run` goes on with it" in told


def test_control_c_ends_a_round_that_nobody_had_gone_on_with(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    row, _ = left(store)
    monkeypatch.setattr("time.sleep", interrupt)
    assert heed("round", "run").exit_code == 1
    assert now(store, row).state == "cancelled"
    assert executor.started == []
    assert list((store.settings.data_dir / "work").iterdir()) == []


def test_run_names_the_round_and_the_database_where_the_disk_is_full(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise DatabaseFull("Heed's disk is full, so this was not kept.")

    row, _ = left(store)
    monkeypatch.setattr(executor, "state", None)
    monkeypatch.setattr(executor, "pid", 1)
    monkeypatch.setattr(lease, "expire", full)
    told = fault("round", "run", "--json")
    assert f"{store.url.database} could not be written, and round {row.id} stays open" in told
    assert "Free some room; then `heed round run` goes on with it" in told
    assert now(store, row).state == "open"
    assert kept(store, row).exists()


def test_run_names_the_database_where_the_disk_is_too_full_to_open_a_round(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise DatabaseFull("Heed's disk is full, so this was not kept.")

    say(store)
    monkeypatch.setattr(rounds, "open", full)
    told = fault("round", "run")
    assert f"{store.url.database} could not be written, so no round was opened" in told
    assert executor.started == []
