"""A server that is killed while people talk to it: what it acknowledged is there afterwards."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.serving.conftest import PATIENCE_SECONDS

THREADS = 4
ACKNOWLEDGED = 80
UP = "from serving.cli import main; main()"


def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path: Path, count: int) -> None:
    data_dir = tmp_path / "data"
    acknowledged: dict[str, str] = {}
    sent: list[dict[str, Any]] = []
    for generation in range(count):
        with up(data_dir) as (process, url):
            check(url, acknowledged)
            before = len(acknowledged)
            completion = ask(url)
            threads = [
                threading.Thread(
                    target=post,
                    args=(url, completion, f"{generation}-{number}", sent, acknowledged),
                )
                for number in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            until = time.monotonic() + PATIENCE_SECONDS
            while len(acknowledged) < before + ACKNOWLEDGED and time.monotonic() < until:
                time.sleep(0.002)
            process.kill()  # SIGKILL: nothing in the process can tidy up
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
            assert len(acknowledged) >= before + ACKNOWLEDGED
    with up(data_dir) as (_, url), httpx.Client(base_url=url) as http:
        check(url, acknowledged)
        # A client that heard no answer sends the same again, and the event is still one.
        for said in sent[-2 * THREADS :]:
            answer = http.post("/v1/feedback", json=said)
            assert answer.status_code in (200, 201), answer.text
            known = acknowledged.get(said["event_id"], answer.json()["id"])
            assert answer.json()["id"] == known
            assert http.post("/v1/feedback", json=said).status_code == 200


def check(url: str, acknowledged: dict[str, str]) -> None:
    """Every acknowledged id has its receipt."""
    with httpx.Client(base_url=url) as http:
        lost = [
            name
            for name in acknowledged.values()
            if http.get(f"/v1/feedback/{name}").status_code != 200
        ]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged ids are gone"


def ask(url: str) -> str:
    body = {"model": "heed", "messages": [{"role": "user", "content": "hello"}]}
    return str(httpx.post(f"{url}/v1/chat/completions", json=body).json()["id"])


def post(
    url: str,
    completion: str,
    name: str,
    sent: list[dict[str, Any]],
    acknowledged: dict[str, str],
) -> None:
    """Send feedback until the server is gone."""
    with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as http:
        for number in range(100_000):
            said = {"completion_id": completion, "event_id": f"{name}-{number}", "rating": "up"}
            sent.append(said)
            try:
                answer = http.post("/v1/feedback", json=said)
            except httpx.TransportError:
                return
            assert answer.status_code == 201, answer.text
            acknowledged[said["event_id"]] = answer.json()["id"]


@contextmanager
def up(data_dir: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`heed up` as a process of its own, with the engine that needs no model."""
    process = subprocess.Popen(
        [sys.executable, "-c", UP, "up", "--role", "api", "--port", "0"],
        env={
            **os.environ,
            "HEED_FEEDBACK__DATA_DIR": str(data_dir),
            "HEED_SERVING__ENGINE": "echo",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = next(
            found[0]
            for line in process.stdout
            if (found := re.search(r"http://127\.0\.0\.1:\d+", line))
        )
        yield process, url
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()
