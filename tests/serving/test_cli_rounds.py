"""`heed round`: a round from the command line, whoever runs it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.store import Store
from serving.commands import round_run
from tests.builders import opened_round, say
from tests.serving import attendance
from tests.serving.attendance import Executor, held
from tests.serving.command_line import (
    COUNTS,
    REPORT,
    document,
    done,
    ended,
    fault,
    heed,
    store_at,
)
from trainer import lease
from trainer import round as rounds
from trainer.models import Round


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    attendance.quick(monkeypatch)
    yield store
    store.close()


@pytest.mark.parametrize("state", ["promoted", "refused", "abstained", "failed", "cancelled"])
def test_run_succeeds_unless_the_round_failed_or_was_cancelled(
    store: Store, executor: type[Executor], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "state", state)
    say(store)
    result = heed("round", "run", "--json")
    assert result.exit_code == (1 if state in ("failed", "cancelled") else 0)
    assert json.loads(result.stdout)["state"] == state
    assert not result.stderr


def test_run_tells_the_verdict_the_rules_and_what_caught_it(
    store: Store, executor: type[Executor]
) -> None:
    say(store)
    told = done("round", "run")
    assert "was promoted" in told
    assert "12 gathered, 9 used" in told
    assert "The gate says: promote." in told
    assert "superiority" in told
    assert "[61.5, ∞]" in told
    assert "now:    now protected" in told
    assert len(executor.started) == 1


def test_run_leaves_a_round_to_the_server_that_takes_it(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = time.sleep

    def serve(seconds: float) -> None:
        """A server takes the round at once and ends it a few looks later."""
        sleep(seconds)
        with store.session(write=True) as session:
            row = rounds.current(session)
            if row is None:
                return
            if row.attempts == 0:
                assert lease.acquire(store, session, "round", holder="server", seconds=60)
            row.attempts += 1
            if row.attempts == 20:
                rounds.close(session, row, "abstained", "Too little to tell.")
            session.add(row)
            session.commit()

    say(store)
    monkeypatch.setattr(round_run, "TAKE_UP_SECONDS", 0.2)
    monkeypatch.setattr("time.sleep", serve)
    assert document("round", "run")["state"] == "abstained"
    assert len(executor.started) == 0


def test_run_gives_up_on_a_process_that_never_begins(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "state", None)
    say(store)
    result = heed("round", "run")
    assert result.exit_code == 1
    assert "died 3 times; rounds.log says more" in result.stdout
    assert "memory" not in result.stdout
    assert len(executor.started) == 3


@pytest.mark.parametrize(
    ("stage", "advice"),
    [("train", "Lower trainer.micro_batch_tokens (now"), ("evaluate", "trainer.max_new_tokens")],
)
def test_run_says_that_memory_may_be_why_its_process_was_killed(
    store: Store,
    executor: type[Executor],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    advice: str,
) -> None:
    monkeypatch.setattr(executor, "state", None)
    monkeypatch.setattr(executor, "killed", True)
    opened_round(store, stage=stage)
    told = heed("round", "run").stdout
    assert "died 3 times" in told and "(SIGKILL), as the kernel does where memory" in told
    assert advice in told


def test_run_is_cancelled_by_control_c(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    feedback_id = say(store)
    monkeypatch.setattr("time.sleep", interrupt)
    result = heed("round", "run", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "cancelled"
    assert document("receipt", feedback_id)["status"] == "waiting"


def test_control_c_leaves_a_round_to_the_server_that_runs_it(
    store: Store, executor: type[Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(_: float) -> None:
        with store.session() as session:
            row = rounds.current(session)
        assert row is not None
        held(store, row)
        raise KeyboardInterrupt

    say(store)
    monkeypatch.setattr("time.sleep", taken)
    told = done("round", "run")
    assert "A server goes on with round" in told
    assert len(executor.started) == 0


def test_run_in_a_process_of_its_own_tells_why_it_failed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEED_SERVING__ENGINE")
    (tmp_path / "heed.toml").write_text('[trainer]\nbase_model = "/no/such/model"\n')
    say(store)
    result = heed("round", "run")
    assert result.exit_code == 1
    assert "failed" in result.stdout
    assert "'/no/such/model' is neither" in result.stdout
    assert document("feedback", "stats")["available"] == 1


def test_run_names_the_round_that_runs(store: Store) -> None:
    say(store)
    row = opened_round(store)
    held(store, row)
    assert f"heed round cancel {row.id}" in fault("round", "run")


def test_list_and_show_tell_how_rounds_went(store: Store) -> None:
    first = ended(store, state="refused", counts=COUNTS, report=REPORT)
    second = opened_round(store)
    assert [row["id"] for row in document("round", "list")["data"]] == [second.id, first.id]
    page = document("round", "list", "--limit", "1")
    assert (page["has_more"], page["next"]) == (True, second.id)
    assert "--limit shows more" in done("round", "list", "--limit", "1")
    told = done("round", "list")
    assert "queued 0%" in told
    assert "refused" in told
    assert document("round", "show", first.id)["report"] == REPORT
    assert "was refused by the gate" in done("round", "show", first.id)
    assert "is open (queued, 0%)" in done("round", "show", second.id)


def test_cancel_ends_a_round_that_nobody_runs_and_asks_another(store: Store) -> None:
    row = opened_round(store)
    assert document("round", "cancel", row.id)["state"] == "cancelled"
    assert "has ended already" in fault("round", "cancel", row.id)
    busy = opened_round(store, started_at=time.time())
    held(store, busy)
    assert "stops within a few seconds" in done("round", "cancel", busy.id)
    with store.session() as session:
        assert session.get_one(Round, busy.id).cancel_requested


def test_show_tells_what_options_could_not_do(store: Store) -> None:
    row = ended(store, counts={**COUNTS, "notes": ["Nobody paraphrased."]})
    assert "Nobody paraphrased." in done("round", "show", row.id)
    assert document("round", "show", row.id)["counts"]["notes"] == ["Nobody paraphrased."]
