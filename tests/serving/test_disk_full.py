"""No room on the disk, no database: what is told, what is kept, and that it ends by itself."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlmodel import select, text

from feedback.models import Feedback
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import auth
from tests.conftest import Postgres
from tests.feedback import power_cut
from tests.feedback.test_intake_outages import back, gone
from tests.serving.conftest import PATIENCE_SECONDS, Server, fault, running, wait_until

UP = "from serving.cli import main; main()"
NDJSON = {"content-type": "application/x-ndjson"}


def test_a_full_disk_is_507_loses_nothing_and_ends_without_a_restart(tmp_path: Path) -> None:
    full = tmp_path / "full"
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    shim = power_cut.environment(power_cut.library(tmp_path), data_dir, tmp_path / "log")
    kept = []
    with (
        up(data_dir, {**shim, "HEED_CUT_FULL": str(full)}) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as http,
    ):
        about = {"completion_id": chat(http).json()["id"]}
        kept += [told(http, about) for _ in range(5)]
        full.touch()
        for _ in range(5):
            answer = http.post("/v1/feedback", json={**about, "rating": "up"})
            refused(answer)
        body = f'{{"completion_id": "{about["completion_id"]}", "rating": "up"}}\n' * 3
        refused(http.post("/v1/feedback/batch", content=body, headers=NDJSON))
        refused(chat(http))
        assert http.get(f"/v1/feedback/{kept[0]}").status_code == 200
        full.unlink()
        kept += [told(http, about) for _ in range(5)]
        assert chat(http).status_code == 200
    store = Store(FeedbackSettings(data_dir=data_dir))
    with store.session(write=True) as session:
        assert session.connection().execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert set(session.exec(select(Feedback.id))) == set(kept)
    store.close()


def chat(http: httpx.Client) -> httpx.Response:
    body = {"model": "heed", "messages": [{"role": "user", "content": "hello"}]}
    return http.post("/v1/chat/completions", json=body)


def told(http: httpx.Client, about: dict[str, str]) -> str:
    answer = http.post("/v1/feedback", json={**about, "rating": "up"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def refused(answer: httpx.Response, status: int = 507) -> None:
    """It says so, and when to come back."""
    assert answer.status_code == status, answer.text
    assert fault(answer)["code"] == {507: "full", 503: "unavailable"}[status]
    assert int(answer.headers["retry-after"]) >= 1


@contextmanager
def up(data_dir: Path, environment: dict[str, str]) -> Iterator[str]:
    """`heed up` as a process of its own; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", UP, "up", "--role", "api", "--port", "0"],
        env={
            **os.environ,
            **environment,
            "HEED_FEEDBACK__DATA_DIR": str(data_dir),
            "HEED_SERVING__ENGINE": "echo",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield next(
            found[0]
            for line in process.stdout
            if (found := re.search(r"http://127\.0\.0\.1:\d+", line))
        )
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()


@pytest.mark.parametrize("policy", ["refuse", "answer"])
def test_without_its_database_feedback_is_told_to_come_back_and_chats_go_by_the_policy(
    postgres: Postgres, tmp_path: Path, policy: str
) -> None:
    feedback = FeedbackSettings(data_dir=tmp_path / "data", database_url=postgres.fresh())
    with running(feedback, unlogged=policy) as server:
        _, server.http.headers = keyed(server)
        identity = server.asked()
        name = server.store.url.database or ""
        gone(postgres.admin, name)
        try:
            refused(server.tell(completion_id=identity, rating="up"), 503)
            line = f'{{"completion_id": "{identity}", "rating": "up"}}'
            batch = server.http.post("/v1/feedback/batch", content=line, headers=NDJSON)
            refused(batch, 503)
            for stream in (False, True):
                answer = server.chat("still there", stream=stream)
                if policy == "refuse" and not stream:
                    refused(answer, 503)
                elif policy == "refuse":
                    assert '"code":"unavailable"' in answer.text
                    assert "[DONE]" not in answer.text
                else:
                    assert answer.status_code == 200, answer.text
                    assert "still" in answer.text and '"error"' not in answer.text
            counted = server.parts.metrics.unlogged._value.get()
            assert counted == (2 if policy == "answer" else 0)
        finally:
            back(postgres.admin, name)
        wait_until(lambda: server.tell(completion_id=identity, rating="up").status_code == 201)
        assert server.chat().status_code == 200


def test_keys_of_before_an_outage_are_good_for_a_while_only(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feedback = FeedbackSettings(data_dir=tmp_path / "data", database_url=postgres.fresh())
    with running(feedback, unlogged="answer") as server:
        _, server.http.headers = keyed(server)
        server.asked()
        name = server.store.url.database or ""
        gone(postgres.admin, name)
        try:
            server.parts.keys._read_at = -1.0
            assert server.chat().status_code == 200
            monkeypatch.setattr(auth, "STALE_SECONDS", -1.0)
            server.parts.keys._read_at = -1.0
            refused(server.chat(), 503)
        finally:
            back(postgres.admin, name)


def keyed(server: Server) -> tuple[str, httpx.Headers]:
    """A client's key, and the headers that carry it."""
    name, headers = server.key("client")
    return name, httpx.Headers(headers)
