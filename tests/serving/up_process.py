"""`heed up` as a process of its own, with an echo that takes its time, and talking to its socket.

Each is forked from one process that has imported everything, which is most of what a start costs.
"""

import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlmodel import select

from feedback.models import Exchange
from feedback.settings import FeedbackSettings
from feedback.store import Store

_START_SECONDS = 30.0


class Up:
    """A running `heed up`."""

    def __init__(self, process: BaseProcess, folder: Path) -> None:
        self.port = 0
        self._process = process
        self._folder = folder
        self._doors: list[socket.socket] = []

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    @property
    def said(self) -> str:
        """What it printed."""
        return (self._folder / "stdout.txt").read_text()

    @property
    def log(self) -> str:
        """What it logged."""
        return (self._folder / "stderr.txt").read_text()

    def wait_until_up(self) -> None:
        """Return once it answers."""
        until_seconds = time.monotonic() + _START_SECONDS
        while self.running and time.monotonic() < until_seconds:
            found = re.search(r"API +http://127\.0\.0\.1:(\d+)/v1\n", self.said)
            if found is not None:
                self.port = int(found[1])
                return
            time.sleep(0.01)
        raise AssertionError(self.said + self.log)

    def connect(self, *, buffer_bytes: int | None = None) -> socket.socket:
        """A connection to it, which holds so much until it is read."""
        door = socket.socket()
        self._doors.append(door)
        if buffer_bytes:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        door.settimeout(30)
        door.connect(("127.0.0.1", self.port))
        return door

    def ask(self, words: int, **fields: Any) -> socket.socket:
        """Begin to ask; the answer has so many words."""
        door = self.connect()
        door.sendall(asking(words, **fields))
        return door

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def exit_code(self) -> int | None:
        """How it ended; None where it does not within five seconds."""
        self._process.join(5)
        return self._process.exitcode

    def exchanges(self) -> list[Exchange]:
        """The answers on its record, once it has ended."""
        assert not self.running
        store = Store(FeedbackSettings(data_dir=self._folder))
        try:
            with store.session() as session:
                return list(session.exec(select(Exchange)).all())
        finally:
            store.close()

    def close(self) -> None:
        """Kill it, unless it has ended, and hang up."""
        self._process.kill()
        self._process.join()
        self._process.close()
        for door in self._doors:
            door.close()


@contextmanager
def heed_up(
    folder: Path,
    *,
    delay_seconds: float = 0.0,
    port: int = 0,
    roles: tuple[str, ...] = ("api",),
    **serving: object,
) -> Iterator[Up]:
    """Start `heed up` with these settings; killed where the test does not end it.

    Args:
        folder: its data and its output.
        delay_seconds: the echo's pause before each word.
        port: where it listens; 0 takes a free one.
        roles: what it does.
        serving: settings of that section.
    """
    settings = {f"HEED_SERVING__{name.upper()}": str(value) for name, value in serving.items()}
    settings["HEED_FEEDBACK__DATA_DIR"] = str(folder)
    for name in ("stdout.txt", "stderr.txt"):
        (folder / name).write_text("")
    command = ["heed", "up", "--port", str(port), *(f"--role={each}" for each in roles)]
    process = _forking().Process(
        target=_run, args=(folder, settings, delay_seconds, command), daemon=True
    )
    process.start()
    up = Up(process, folder)
    try:
        up.wait_until_up()
        yield up
    finally:
        up.close()


def warm_up() -> None:
    """Have everything imported once, so that no test's time is that of the imports."""
    first = _forking().Process(target=time.monotonic)
    first.start()
    first.join()
    first.close()


def _forking() -> ForkServerContext:
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__, "tests.serving.preloaded"])
    return forking


def _run(
    folder: Path, settings: Mapping[str, str], delay_seconds: float, command: list[str]
) -> None:
    """The process."""
    from serving import app, cli
    from serving.engines.echo import EchoEngine

    for name, number in (("stdout.txt", 1), ("stderr.txt", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_APPEND), number)
    os.environ.update(settings)
    os.chdir(folder)
    app.make_engine = lambda settings: EchoEngine(delay_seconds=delay_seconds)
    sys.argv = command
    cli.main()


def asking(words: int, *, request_id: str | None = None, **fields: Any) -> bytes:
    """The bytes of a chat request whose echo has so many words."""
    named = f"X-Request-Id: {request_id}\r\n" if request_id else ""
    said = " ".join(["word"] * words)
    body = json.dumps({"model": "heed", "messages": [{"role": "user", "content": said}], **fields})
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s"
        % (named.encode(), len(body), body.encode())
    )


def get(path: str) -> bytes:
    """The bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def until(door: socket.socket, ending: bytes) -> bytes:
    """Read up to some bytes."""
    heard = b""
    while ending not in heard:
        more = door.recv(65_536)
        assert more, heard
        heard += more
    return heard


def the_rest(door: socket.socket) -> bytes:
    """Read until the other side closes."""
    heard = b""
    try:
        while more := door.recv(65_536):
            heard += more
    except ConnectionResetError:
        pass
    return heard
