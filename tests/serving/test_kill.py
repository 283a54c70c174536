"""A server that is killed while people talk to it: what it acknowledged is there afterwards, once."""

import contextlib
import json
import random
import shutil
import signal
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import func, select, text

from feedback.models import Exchange, Feedback, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from tests.serving import up_process
from tests.serving.conftest import PATIENCE_SECONDS

CYCLES = 50
SOAK = 4
"""Times as many in the long loops: ten thousand cycles."""
THREADS = 3
ACKNOWLEDGED = 10
"""Before a kill may come, in each cycle."""
LINES = 20
NDJSON = {"content-type": "application/x-ndjson"}
_PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Not used over plain HTTP, and each client would read all the world's certificates for one."""


class People:
    """What they sent, and what they were told is kept: by event id, with the feedback's id."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str] = {}
        self.completions: set[str] = set()
        self.sent: list[dict[str, Any]] = []
        self._writing = threading.Lock()

    def keep(self, said: list[dict[str, Any]], ids: list[str]) -> None:
        """Note an acknowledgement."""
        with self._writing:
            for each, name in zip(said, ids, strict=True):
                self.acknowledged[each["event_id"]] = name


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    up_process.warm_up()


def test_nothing_acknowledged_is_lost_or_doubled_by_kill_9(tmp_path: Path, count: int) -> None:
    # A database of its own for every so many cycles: what is checked after each does not grow.
    for turn in range(count if count == 1 else SOAK * count):
        folder = tmp_path / str(turn)
        folder.mkdir()
        live_through(folder, random.Random(turn))
        shutil.rmtree(folder)


def live_through(folder: Path, luck: random.Random) -> None:
    """Start and kill a server time and again, and check its database after each."""
    people = People()
    for cycle in range(CYCLES):
        (folder / "stdout.txt").unlink(missing_ok=True)  # it names the port of the one before
        with up_process.heed_up(folder) as up:
            url = f"http://127.0.0.1:{up.port}"
            completion = ask(url, people)
            talking = [
                threading.Thread(target=talk, args=(url, completion, f"{cycle}-{number}", people))
                for number in range(THREADS)
            ]
            talking.append(
                threading.Thread(target=send, args=(url, completion, f"{cycle}-b", people))
            )
            before = len(people.acknowledged)
            for thread in talking:
                thread.start()
            until = time.monotonic() + PATIENCE_SECONDS
            while len(people.acknowledged) < before + ACKNOWLEDGED and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(luck.random() * 0.01)  # anywhere between two commits, or within one
            up.tell(signal.SIGKILL)
            for thread in talking:
                thread.join(PATIENCE_SECONDS)
            assert len(people.acknowledged) >= before + ACKNOWLEDGED
        check(folder, people)
    send_again(folder, people)


def check(folder: Path, people: People) -> None:
    """Open the database as any process would: it is intact, and everything acknowledged is in it."""
    store = Store(FeedbackSettings(data_dir=folder))
    with store.session(write=True) as session:
        assert session.connection().execute(text("PRAGMA quick_check")).scalar_one() == "ok"
        stored = dict(session.exec(select(Feedback.event_id, Feedback.id)).all())
        rows = session.exec(select(func.count()).select_from(Feedback)).one()
        receipts = session.exec(select(func.count()).select_from(Receipt)).one()
        completions = set(session.exec(select(Exchange.id)))
    store.close()
    assert people.acknowledged.items() <= stored.items()
    assert rows == receipts == len(stored)
    assert people.completions <= completions


def send_again(folder: Path, people: People) -> None:
    """A client that heard no answer sends the same again, and the event is still one."""
    (folder / "stdout.txt").unlink()
    with (
        up_process.heed_up(folder) as up,
        client(f"http://127.0.0.1:{up.port}") as http,
    ):
        for said in people.sent[-3 * LINES :]:
            answer = http.post("/v1/feedback", json=said)
            assert answer.status_code in (200, 201), answer.text
            known = people.acknowledged.get(said["event_id"], answer.json()["id"])
            assert answer.json()["id"] == known
            assert http.post("/v1/feedback", json=said).status_code == 200
        read = http.get(f"/v1/feedback/{next(iter(people.acknowledged.values()))}")
        assert read.status_code == 200
    store = Store(FeedbackSettings(data_dir=folder))
    with store.session(write=True) as session:
        assert session.connection().execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    store.close()


def ask(url: str, people: People) -> str:
    """Have a chat; its log entry is acknowledged by its answer."""
    body = {"model": "heed", "messages": [{"role": "user", "content": "hello"}]}
    with client(url) as http:
        name = str(http.post("/v1/chat/completions", json=body).json()["id"])
    people.completions.add(name)
    return name


def client(url: str) -> httpx.Client:
    """Return what asks one server."""
    return httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, verify=_PLAIN)


def talk(url: str, completion: str, name: str, people: People) -> None:
    """Send feedback until the server is gone."""
    with (
        contextlib.suppress(httpx.TransportError),
        client(url) as http,
    ):
        for number in range(100_000):
            said = {"completion_id": completion, "event_id": f"{name}-{number}", "rating": "up"}
            people.sent.append(said)
            answer = http.post("/v1/feedback", json=said)
            assert answer.status_code == 201, answer.text
            people.keep([said], [answer.json()["id"]])


def send(url: str, completion: str, name: str, people: People) -> None:
    """Send batches until the server is gone."""
    with (
        contextlib.suppress(httpx.TransportError),
        client(url) as http,
    ):
        for number in range(100_000):
            said = [
                {
                    "completion_id": completion,
                    "event_id": f"{name}-{number}-{line}",
                    "signal": "copy",
                }
                for line in range(LINES)
            ]
            people.sent.extend(said)
            body = "\n".join(map(json.dumps, said))
            answer = http.post("/v1/feedback/batch", content=body, headers=NDJSON)
            results = [json.loads(line) for line in answer.text.splitlines()]
            assert {each["status"] for each in results} == {201}, answer.text
            people.keep(said, [each["id"] for each in results])
