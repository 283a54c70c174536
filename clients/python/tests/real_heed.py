"""Heed itself, with the engine that repeats people, on a port of the test's choice."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from conftest import PATIENCE_SECONDS, wait_until
from openai import OpenAI
from sqlmodel import col, select

from feedback.models import Feedback
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving.app import create_app
from serving.engines.echo import EchoEngine
from serving.settings import Settings


def door(port: int = 0) -> socket.socket:
    """A bound port that refuses connections until somebody serves there."""
    bound = socket.socket(proto=socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def url_of(bound: socket.socket) -> str:
    """The base URL of what is served there."""
    return f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


@contextmanager
def heed_up(folder: Path, bound: socket.socket | None = None) -> Iterator[str]:
    """Serve until the block ends; yields the base URL."""
    folder.mkdir(exist_ok=True)
    settings = Settings.model_validate(
        {
            "feedback": {"data_dir": folder},
            "serving": {"engine": "echo"},
            "trainer": {"base_model": "bare"},
        }
    )
    app = create_app(settings, engine=EchoEngine(), roles=("api",))
    config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    with bound or door() as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started, "the server did not start"
        try:
            yield url_of(listening)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "the server did not stop"


def stock(url: str) -> OpenAI:
    """The stock client, for the chat."""
    return OpenAI(base_url=url, api_key="any", max_retries=0)


def asked(url: str) -> str:
    """Chat once; returns the completion's id."""
    with stock(url) as client:
        answer = client.chat.completions.create(
            model="heed", messages=[{"role": "user", "content": "what does the lamp cost?"}]
        )
    return answer.id


def event_ids(folder: Path) -> list[str]:
    """The events in a server's database, as often as they are there."""
    store = Store(FeedbackSettings(data_dir=folder))
    try:
        with store.session() as session:
            return list(session.exec(select(col(Feedback.event_id))))
    finally:
        store.close()
