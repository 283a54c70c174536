"""The commands that empty and rotate, and what does so by itself."""

import logging
import time
from pathlib import Path

import pytest
from sqlmodel import select

from feedback.errors import Unavailable
from feedback.models import Exchange
from feedback.people import people_key
from feedback.retention import DAY_SECONDS
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving.models import AuditEntry
from serving.scheduler import Scheduler
from serving.settings import Settings
from tests import builders
from tests.serving.command_line import document, done, store_at
from tests.serving.conftest import running

CANARY = "zanzibar-4711"


def aged(store: Store) -> tuple[str, str]:
    """An exchange that nobody spoke of and one that somebody did, both forty days ago."""
    then = time.time() - 40 * DAY_SECONDS
    unrated = builders.recorded(store, created_at=then, answer=f"{CANARY} unrated")
    rated = builders.recorded(store, created_at=then, answer=f"{CANARY} rated")
    name = builders.say(store, completion_id=rated, comment=CANARY)
    with store.session(write=True) as session:
        row = builders.feedback_of(store, name)
        row.received_at = then
        session.add(row)
        session.commit()
    return unrated, rated


def left(store: Store) -> dict[str, str]:
    with store.session() as session:
        return {row.id: row.state for row in session.exec(select(Exchange))}


def test_purge_says_what_it_would_empty_and_empties_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path / "data", monkeypatch)
    unrated, rated = aged(store)
    assert "Everything is kept" in done("db", "purge")
    monkeypatch.setenv("HEED_FEEDBACK__KEEP_UNRATED_DAYS", "30")
    monkeypatch.setenv("HEED_FEEDBACK__KEEP_RATED_DAYS", "30")
    planned = document("db", "purge", "--dry-run")
    counts = {"unrated": 1, "rated": 1, "feedback": 1}
    assert {name: planned[name] for name in counts} == counts
    assert "would be emptied" in done("db", "purge", "--dry-run")
    assert left(store) == {unrated: "complete", rated: "complete"}
    emptied = document("db", "purge")
    assert emptied == {**planned, "dry_run": False}
    assert left(store) == {rated: "forgotten"}
    assert document("db", "purge")["rated"] == 0
    store.close()
    for path in (tmp_path / "data").glob("heed.sqlite3*"):
        assert CANARY.encode() not in path.read_bytes()


def test_the_scheduler_empties_what_was_kept_long_enough(
    settings: FeedbackSettings, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(settings.model_copy(update={"keep_unrated_days": 30.0, "keep_rated_days": 30.0}))
    _, rated = aged(store)
    scheduler = Scheduler(store, Settings.model_construct(feedback=store.settings))
    with caplog.at_level(logging.INFO, "heed.scheduler"):
        scheduler.purge()
        scheduler.purge()
    assert left(store) == {rated: "forgotten"}
    assert [record.getMessage() for record in caplog.records] == [
        "emptied 2 exchanges and 1 pieces of feedback that were kept long enough"
    ]
    store.close()
    with caplog.at_level(logging.ERROR, "heed.scheduler"):
        scheduler.purge()  # a database that is away ends no scheduler
    assert caplog.records[-1].levelno == logging.ERROR


def test_it_does_so_soon_after_a_start_and_then_daily(tmp_path: Path) -> None:
    store = Store(FeedbackSettings(data_dir=tmp_path))
    scheduler = Scheduler(store, Settings(feedback=store.settings))
    scheduler.start()
    try:
        [job] = [job for job in scheduler._timer.get_jobs() if job.name == "Scheduler.purge"]
        assert job.next_run_time.timestamp() - time.time() < 120
        assert job.trigger.interval.total_seconds() == DAY_SECONDS
    finally:
        scheduler.stop()
        store.close()


def test_the_key_of_names_is_rotated_and_the_old_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(tmp_path / "data", monkeypatch)
    before = people_key(tmp_path / "data")
    told = document("keys", "rotate-people")
    assert told["older"] == [before.id] and told["id"] == people_key(tmp_path / "data").id
    said = done("keys", "rotate-people")
    assert told["id"] in said
    assert before.secret.hex() not in said
    with store.session() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry))]
    assert actions == ["people.rotate", "people.rotate"]
    store.close()


def test_a_redactor_that_is_not_installed_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "presidio_analyzer", None)
    from feedback import privacy, privacy_presidio

    privacy._redacted.cache_clear()
    privacy_presidio._analyzer.cache_clear()
    with pytest.raises(Unavailable, match=r"pip install 'heed\[privacy\]'"):
        privacy.ready(FeedbackSettings(data_dir=tmp_path, redactor="presidio"))
    privacy.ready(FeedbackSettings(data_dir=tmp_path, redactor="presidio", redaction="off"))


def test_redaction_before_storage_holds_for_chats_over_http(tmp_path: Path) -> None:
    settings = FeedbackSettings(data_dir=tmp_path, redaction="storage")
    with running(settings) as server:
        mail = "ana@mail.example"
        answer = server.chat(f"I am {mail}")
        assert mail in answer.json()["choices"][0]["message"]["content"]  # only the log is redacted
        completion = answer.json()["id"]
        body = {
            "model": "heed",
            "messages": [{"role": "user", "content": f"again {mail}"}],
            "metadata": {"contact": mail},
        }
        twice = [
            server.http.post(
                "/v1/chat/completions", json=body, headers={"Idempotency-Key": "k1"}
            ).status_code
            for _ in range(2)
        ]
        assert twice == [200, 200]
        assert server.tell(completion_id=completion, correction=f"Hello {mail}").status_code == 201
        assert mail not in server.everything()
        assert server.exchange(completion).messages[0]["content"] == "I am <EMAIL>"
