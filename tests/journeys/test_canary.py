"""A bad version that passed the gate meets a few people, and is gone by itself, on both databases.

Real HTTP throughout: people chat and vote without a pause, and the watch is the scheduler's own job.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from feedback.settings import FeedbackSettings
from serving.scheduler import Scheduler
from serving.settings import Settings
from tests.serving.conftest import PATIENCE_SECONDS, Server, running, wait_until

PEOPLE = 600
EFFECTIVE_SECONDS = 5.0


@pytest.fixture
def scheduled(settings: FeedbackSettings) -> Iterator[tuple[Server, Scheduler]]:
    """A server, and the scheduler of another process that works on the same database."""
    with running(settings) as served:
        whole = Settings.model_validate(
            {
                "feedback": settings,
                "serving": {"engine": "echo", "canary_seconds": 0.2, "tick_seconds": 60},
                "trainer": {"base_model": "bare"},
            }
        )
        scheduler = Scheduler(served.store, whole)
        scheduler.start()
        try:
            yield served, scheduler
        finally:
            scheduler.stop()


class Crowd:
    """People who chat all the time, and like what the old version says."""

    def __init__(self, server: Server, bad: str) -> None:
        self._server, self._bad = server, bad
        self.statuses: Counter[int] = Counter()
        self.told: dict[str, list[tuple[float, str]]] = {}
        self.errors: list[Exception] = []
        self._over = threading.Event()
        self._people = iter(range(10**9))
        self._turn = threading.Lock()

    @contextmanager
    def chatting(self) -> Iterator["Crowd"]:
        """They go on until the block ends."""
        threads = [threading.Thread(target=self._chat, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)

    def _chat(self) -> None:
        with httpx.Client(base_url=self._server.url, timeout=PATIENCE_SECONDS) as http:
            while not self._over.is_set():
                with self._turn:
                    who = f"person {next(self._people) % PEOPLE}"
                try:
                    self._one(http, who)
                except (httpx.HTTPError, KeyError, ValueError) as fault:
                    self.errors.append(fault)
                    return

    def _one(self, http: httpx.Client, who: str) -> None:
        body = {"model": "heed", "user": who, "messages": [{"role": "user", "content": "hello"}]}
        answer = http.post("/v1/chat/completions", json=body)
        self.statuses[answer.status_code] += 1
        adapter = answer.headers["x-heed-adapter"]
        self.told.setdefault(who, []).append((time.monotonic(), adapter))
        rating = "down" if adapter == self._bad else "up"
        vote = {"completion_id": answer.json()["id"], "user": who, "rating": rating}
        self.statuses[http.post("/v1/feedback", json=vote).status_code] += 1


def test_a_bad_version_is_rolled_back_by_itself_while_people_go_on_chatting(
    scheduled: tuple[Server, Scheduler],
) -> None:
    server, _ = scheduled
    good = server.publish()
    assert server.promote(good).status_code == 200
    bad = server.publish(parent=good)
    with Crowd(server, bad).chatting() as crowd:
        wait_until(lambda: crowd.statuses.total() > 20 or crowd.errors)
        assert server.promote(bad, canary_share=0.2).status_code == 200
        wait_until(
            lambda: (
                server.http.get("/v1/adapters/canary").json()["last"] is not None or crowd.errors
            )
        )
        decided = time.monotonic()
        wait_until(lambda: server.parts.router.route.canary is None or crowd.errors)
        assert time.monotonic() - decided < EFFECTIVE_SECONDS
        settled = time.monotonic()
        answered = crowd.statuses.total()
        wait_until(lambda: crowd.statuses.total() > answered + 60 or crowd.errors)

    assert crowd.errors == []
    assert set(crowd.statuses) == {200, 201}, crowd.statuses  # nobody was failed
    found = server.http.get("/v1/adapters/canary").json()
    assert (found["running"], found["live"], found["canary"]) == (False, good, None)
    assert (
        f"The canary {bad} is rolled back. votes: 0.0% good against 100.0%"
        in (found["last"]["reason"])
    )
    everything = [each for told in crowd.told.values() for each in told]
    met = [name for _, name in everything]
    assert met.count(bad) >= 5
    assert {name for at, name in everything if at > settled + 1} <= {good}
    listed = server.http.get("/v1/adapters").json()
    assert listed["deployment"]["reason"] == found["last"]["reason"]
    assert {row["id"]: row["state"] for row in listed["data"]} == {good: "live", bad: "retired"}
