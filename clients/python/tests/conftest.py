"""Both clients behind one face, so that a test says what each of them does."""

import asyncio
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx
import hypothesis
import pytest
from fake_heed import FakeHeed

from heed_client import AsyncHeed, Feedback, Heed, Retry

PATIENCE_SECONDS = 30.0
UNHURRIED = hypothesis.settings(deadline=None, database=None)
"""For property tests: the cores are shared, and the working folder stays empty."""
SOON = Retry(times=2, first_seconds=0.002, most_seconds=0.02, queue_most_seconds=0.02)
"""Waits that a test can afford."""
NEVER = Retry(first_seconds=1e7, queue_most_seconds=1e7)
"""The background waits for ever after its first failure, and a flush does not try again."""


@pytest.fixture(autouse=True)
def _clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting leaks in, and no queue is anybody's."""
    for name in list(os.environ):
        if name.startswith("HEED_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


class Both:
    """A client whose every method can be called plainly: what has to be awaited is awaited."""

    def __init__(self, spoken: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self._spoken = spoken
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._spoken, name)
        if name == "later":
            return Both(found, self._loop)
        return self._plain(found) if callable(found) else found

    def enter(self) -> None:
        """Enter its context; `close` leaves it."""
        if isinstance(self._spoken, AsyncHeed):
            self._plain(self._spoken.__aenter__)()
        else:
            self._spoken.__enter__()

    def _plain(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **fields: Any) -> Any:
            result = method(*args, **fields)
            if self._loop is None or not inspect.isawaitable(result):
                return result
            waiting = asyncio.run_coroutine_threadsafe(_awaited(result), self._loop)
            return waiting.result(PATIENCE_SECONDS)

        return call


async def _awaited(result: Any) -> Any:
    return await result


class Make(Protocol):
    """Makes a client of the test's kind, which is closed after the test."""

    def __call__(self, server: FakeHeed | str, **options: Any) -> Both: ...


@pytest.fixture(params=["blocking", "awaited"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Clients of each kind in turn, for a fake server or for a real one's address."""
    made: list[Both] = []
    loop = asyncio.new_event_loop() if request.param == "awaited" else None
    thread = threading.Thread(target=loop.run_forever, daemon=True) if loop else None
    if thread:
        thread.start()

    def made_one(server: FakeHeed | str, **options: Any) -> Both:
        defaults = {"retry": SOON, "linger_seconds": 0.0, "queue_dir": tmp_path / "queue"}
        url = server if isinstance(server, str) else "http://heed.test"
        options = {"base_url": url, **defaults, **options}
        transport = None if isinstance(server, str) else httpx.MockTransport(server)
        if loop is None:
            blocking = httpx.Client(transport=transport, trust_env=False)
            made.append(Both(Heed(http_client=blocking, **options), None))
        else:
            awaited = httpx.AsyncClient(transport=transport, trust_env=False)
            made.append(Both(AsyncHeed(http_client=awaited, **options), loop))
        return made[-1]

    yield made_one
    for client in made:
        client.close(timeout_seconds=1.0)
        http = client._http
        if isinstance(http, httpx.Client):
            http.close()
        elif loop is not None:
            asyncio.run_coroutine_threadsafe(http.aclose(), loop).result(PATIENCE_SECONDS)
    if loop and thread:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.close()


@pytest.fixture
def fake() -> FakeHeed:
    """A server that keeps to the contract and can be made to fail."""
    return FakeHeed()


def wait_until(holds: Callable[[], object]) -> None:
    """Look until something holds."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.005)


def many(count: int, **fields: Any) -> list[Feedback]:
    """So many thumbs up."""
    return [Feedback(completion_id=f"c-{n}", rating="up", **fields) for n in range(count)]


def held(make: Make, fake: FakeHeed, *feedbacks: Feedback, **options: Any) -> Both:
    """A client that has enqueued these, and whose background has given up for now."""
    fake.up = False
    before = fake.turned_away
    heed = make(fake, retry=NEVER, **options)
    heed.enqueue_many(feedbacks)
    wait_until(lambda: fake.turned_away > before)
    fake.up = True
    return heed


def goes_away(request: httpx.Request) -> httpx.Response:
    """A server that does not answer in time."""
    raise httpx.ReadTimeout("timed out", request=request)
