"""A real server on a free loopback port, with the engine that repeats people."""

import asyncio
import gc
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import uvicorn
from openai import OpenAI
from sqlalchemy import select
from sqlmodel import SQLModel

from feedback.ids import new_id
from feedback.models import Exchange
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import accounts, sessions
from serving.app import create_app
from serving.auth import AccountRole, KeyRole, create_key
from serving.context import COOKIE, Heed
from serving.engines.base import Engine
from serving.engines.echo import EchoEngine
from serving.settings import Role as ProcessRole
from serving.settings import Settings
from tests.builders import staged
from tests.conftest import Postgres
from tests.serving import attendance
from tests.serving.attendance import Executor
from trainer import registry
from trainer.models import Adapter

PASSWORD = "four plain words here"
CHEAP_MIB = 1
"""What a password takes to hash here: a hundred of them should not take a minute."""
PATIENCE_SECONDS = 60.0
STOP_PATIENCE_SECONDS = 120.0
"""A server that ends waits for its threads, of which each may wait for a busy machine."""


@dataclass
class Server:
    """A running server and what a test does with it."""

    url: str
    parts: Heed
    http: httpx.Client
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Its database."""
        return self.parts.store

    def chat(self, said: str = "hello there", **fields: Any) -> httpx.Response:
        """Ask something over plain HTTP."""
        body = {"model": "heed", "messages": [{"role": "user", "content": said}], **fields}
        return self.http.post("/v1/chat/completions", json=body)

    def asked(self, said: str = "hello there", **fields: Any) -> str:
        """Ask something and return the completion's id."""
        answer = self.chat(said, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def tell(self, **fields: Any) -> httpx.Response:
        """Send feedback."""
        return self.http.post("/v1/feedback", json=fields)

    def told(self, **fields: Any) -> str:
        """Send feedback and return its id."""
        answer = self.tell(**fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def stock(self, key: str = "any") -> OpenAI:
        """The stock client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)

    def exchange(self, completion_id: str) -> Exchange:
        """The log entry of an answer."""
        with self.store.session() as session:
            return session.get_one(Exchange, completion_id)

    def everything(self) -> str:
        """Every row of every table, and every byte of a database that is a file."""
        with self.store.session() as session:
            rows = [
                repr(session.execute(select(table)).all())
                for table in SQLModel.metadata.sorted_tables
            ]
        if self.store.is_sqlite:
            rows += [
                path.read_bytes().decode("latin-1")
                for path in Path(str(self.store.url.database)).parent.glob("*.sqlite3*")
            ]
        return "\n".join(rows)

    def emptied(self) -> "Server":
        """The same as after its first start: no row, nobody known, no cookie kept."""
        with self.store.session(write=True) as session:
            for table in reversed(SQLModel.metadata.sorted_tables):
                session.execute(table.delete())
            session.commit()
        self.parts.keys._read_at = -1.0
        self.parts.sessions.forget()
        self.http.cookies.clear()
        return self

    def key(self, role: KeyRole) -> tuple[str, dict[str, str]]:
        """Make a key; returns its id and the headers that carry it."""
        with self.store.session(write=True) as session:
            row, token = create_key(session, role=role, name=f"test {role}")
            session.commit()
        self.keys[row.id] = token
        self.parts.keys._read_at = -1.0  # what happens by itself within a second
        return row.id, {"Authorization": f"Bearer {token}"}

    def account(self, role: AccountRole, name: str = "") -> str:
        """Make an account with the password `PASSWORD`; returns its name."""
        name = name or f"test {role}"
        with self.store.session(write=True) as session:
            accounts.create(session, name=name, role=role, password=PASSWORD, memory_mib=CHEAP_MIB)
            session.commit()
        self.parts.keys._read_at = -1.0
        return name

    def signed_in(self, role: AccountRole) -> dict[str, str]:
        """Make an account and a session of it; returns the headers of a page that uses it."""
        name = self.account(role)
        with self.store.session(write=True) as session:
            account = accounts.named(session, name)
            token = sessions.begin(session, self.parts.settings.serving, account)
            session.commit()
        return {"Cookie": f"{COOKIE}={token}", "Origin": self.url}

    def publish(
        self,
        *,
        parent: str | None = None,
        state: str = "candidate",
        base_hash: str | None = None,
        peft_folder: Path | None = None,
    ) -> str:
        """Put an adapter into the registry that this engine can serve; returns its id."""
        name = new_id("adp")
        data_dir = self.store.settings.data_dir
        staging = staged(data_dir / "staging" / name, name.encode())
        if peft_folder is not None:
            for file in registry.FILES:
                shutil.copy(peft_folder / file, staging / file)
        made: Adapter = registry.publish(
            data_dir,
            staging,
            adapter_id=name,
            parent_id=parent,
            round_id="rnd_test",
            base_model="echo",
            base_hash=base_hash or self.parts.engine.base_hash,
        )
        made.state, made.round_id = state, None
        with self.store.session(write=True) as session:
            session.add(made)
            session.commit()
        return name

    def promote(self, name: str, **fields: Any) -> httpx.Response:
        """Make an adapter live."""
        return self.http.post(f"/v1/adapters/{name}/promote", json=fields)

    def damage(self, name: str) -> Path:
        """Flip one byte of an adapter's weights; returns the file."""
        with self.store.session() as session:
            digest = registry.get(session, name).digest
        weights = registry.folder(self.store.settings.data_dir, digest) / registry.FILES[1]
        content = bytearray(weights.read_bytes())
        content[0] ^= 1
        weights.write_bytes(content)
        return weights


on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
"""For tests of what does not depend on the database, each with a server of its own."""


@contextmanager
def running(
    feedback: FeedbackSettings,
    engine: Engine | None = None,
    *,
    roles: Sequence[ProcessRole] = ("api",),
    **serving: Any,
) -> Iterator[Server]:
    """Serve until the block ends; one server with a console at a time."""
    with pytest.MonkeyPatch.context() as patch:
        feedback.data_dir.mkdir(parents=True, exist_ok=True)
        patch.chdir(feedback.data_dir)  # no heed.toml here
        settings = Settings.model_validate(
            {
                "feedback": feedback,
                "serving": {
                    "engine": "echo",
                    "swap_poll_seconds": 0.1,
                    "password_memory_mib": CHEAP_MIB,
                    **serving,
                },
                "trainer": {"base_model": "bare"},
            }
        )
    app = create_app(settings, engine=engine or EchoEngine(), roles=roles)
    ws: Literal["auto", "none"] = "auto" if "console" in roles else "none"
    config = uvicorn.Config(app, log_config=None, ws=ws, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms more for every answer.
    with socket.socket(proto=socket.IPPROTO_TCP) as door:
        door.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started, "the server did not start"
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as http:
                yield Server(url, app.state.heed, http)
        finally:
            server.should_exit = True
            thread.join(STOP_PATIENCE_SECONDS)
            assert not thread.is_alive(), f"the server did not stop; its threads: {_stacks()}"


def _stacks() -> str:
    """Where every thread of this process is, and what every task waits for."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    threads = [
        f"{names.get(ident)}\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    ]
    # By its type: a look at some objects' attributes warns or loads what they stand for.
    tasks = [repr(each) for each in gc.get_objects() if issubclass(type(each), asyncio.Task)]
    return "\n".join([*threads, *tasks])


def wait_until(holds: Callable[[], object]) -> None:
    """Look until something holds."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def fault(answer: httpx.Response) -> dict[str, Any]:
    """The error of an answer, whose shape is checked."""
    body = answer.json()
    assert list(body) == ["error"], body
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"] and error["code"]
    return error


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server for all tests that leave it as they found it, on each database."""
    folder = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        with running(FeedbackSettings(data_dir=folder)) as served:
            yield served
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.fresh()
    with running(FeedbackSettings(data_dir=folder, database_url=url)) as served:
        yield served


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_console(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with a console for the tests of one module, on each database in turn."""
    folder = tmp_path_factory.mktemp("console")
    url = None
    if request.param == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.fresh()
    settings = FeedbackSettings(data_dir=folder, database_url=url)
    with running(settings, roles=("api", "console")) as served:
        yield served


@pytest.fixture
def console(shared_console: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The module's console with an empty database; what changes there is known at once."""
    monkeypatch.setattr("serving.auth.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("serving.sessions.REFRESH_SECONDS", 0.0)
    return shared_console.emptied()


@pytest.fixture
def own(settings: FeedbackSettings) -> Iterator[Server]:
    """A server of this test's own, on each database."""
    with running(settings) as served:
        yield served


@pytest.fixture
def slow(settings: FeedbackSettings) -> Iterator[Server]:
    """A server of this test's own whose answers take a while: 20 ms a word."""
    with running(settings, EchoEngine(delay_seconds=0.02)) as served:
        yield served


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> type[Executor]:
    """What ends a round as the test wants, in the place of its process."""
    return attendance.stand_in(monkeypatch)
