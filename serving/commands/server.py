"""Runs the application under uvicorn: the door, the signals, and the lines people see first.

The application's start and end are handled here and not by uvicorn, which would show what goes
wrong at the start as a traceback, and would die of a signal before the end had been seen to.
"""

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from fastapi import FastAPI

from feedback.errors import Conflict, Forbidden, Invalid, Unavailable
from feedback.store import Store
from serving import logs, schema
from serving.accounts import accounts
from serving.app import create_app
from serving.auth import is_loopback, keys
from serving.commands import output
from serving.drain import Drain
from serving.receive_deadline import receiving_within
from serving.settings import Role, Settings
from trainer.base_folder import resolve

YOUNG_OBJECTS = 10_000
"""So many new objects, beyond those that are gone again, make a collection (Python's own: 700)."""
SWITCH_SECONDS = 0.001
"""So long a busy thread keeps Python's lock where another waits for it (Python's own: 0.005)."""
LETTING_GO_SECONDS = 1
"""Once all answers have ended or are cut, their connections have this long to take the last of it."""


def run(settings: Settings, *, roles: Sequence[Role]) -> None:
    """Serve until SIGTERM or SIGINT; what is in flight then has `serving.drain_seconds` to end.

    A second SIGINT cuts it at once.

    Raises:
        Forbidden: it would listen beyond this machine, and there is no key.
        Conflict: the port is taken.
        Invalid: the address is none of this machine, or the base model cannot be had.
        HeedError: some part of Heed did not start.
    """
    with bind(settings.serving.host, settings.serving.port) as door:
        guard_the_door(settings)
        if settings.serving.engine == "local":
            resolve(settings.trainer.base_model)
        _log_to_stderr(settings)
        app = create_app(settings, roles=roles)
        drain = Drain(app, seconds=settings.serving.drain_seconds)
        config = uvicorn.Config(
            drain,
            http=receiving_within(settings.serving.receive_seconds),
            lifespan="off",
            log_config=None,
            access_log=False,  # Heed writes a line of its own; uvicorn's would be made and dropped
            timeout_keep_alive=settings.serving.keep_alive_seconds,
            timeout_graceful_shutdown=LETTING_GO_SECONDS,
        )
        server = _Server(config, lambda: _announce(app, settings, roles, door))
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(app, server, drain, door))


def guard_the_door(settings: Settings) -> None:
    """Refuse to listen beyond this machine while nobody needs a key.

    Raises:
        Forbidden: says which command makes a key.
    """
    if is_loopback(settings.serving.host):
        return
    store = Store(settings.feedback)
    try:
        schema.upgrade(store)
        with store.session() as session:
            valid = [key for key in keys(session) if key.revoked_at is None]
            people = accounts(session)
    finally:
        store.close()
    if not valid and not people:
        raise Forbidden(
            f"Listening on {settings.serving.host} would let other machines in, and there is no "
            "API key yet. Make one with `heed keys create --role admin`, or listen on 127.0.0.1."
        )


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything slow begins; it is listened on once Heed can answer.

    Raises:
        Conflict: the port is taken.
        Invalid: there is no such address here.
        Unavailable: the system does not give the port out.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        door = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Invalid(
            f"{host!r} is no address that can be listened on ({error.strerror}); set serving.host "
            "or --host, to 127.0.0.1 for this machine alone.",
            param="serving.host",
        ) from error
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(address)
    except OSError as error:
        door.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"Port {port} on {host} is taken, perhaps by another Heed. Choose one with --port "
                "(0 takes a free one), or stop the other program.",
                param="serving.port",
            ) from error
        raise Unavailable(
            f"Port {port} on {host} cannot be had: {error.strerror}. Choose another with --port.",
            param="serving.port",
        ) from error
    return door


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # _serve() has them: a signal must not end the process before the application ends


async def _serve(app: FastAPI, server: _Server, drain: Drain, door: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        if told.is_set() and number == signal.SIGINT:
            drain.hurry()
        told.set()
        drain.begin()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    _settle()
    async with app.router.lifespan_context(app):
        if told.is_set():
            return
        serving = asyncio.create_task(server.serve(sockets=[door]))
        waiting = asyncio.create_task(told.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if told.is_set():
            # The door stays open meanwhile: who comes now is told to come back, not left standing.
            await drain.finished()
            server.should_exit = True
        await serving


def _settle() -> None:
    """Set Python up for many requests at once, each of which waits for the disk.

    What was loaded by now stays, so no collection need look at it again. (The engine is not among it
    yet: one that dies must be collected.) Collections of what is young come seldom, since what belongs
    to a waiting request is found alive each time. A thread that waits for Python's lock, as the writer
    does after every statement, gets it sooner.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    sys.setswitchinterval(SWITCH_SECONDS)


def _announce(app: FastAPI, settings: Settings, roles: Sequence[Role], door: socket.socket) -> None:
    host, port = settings.serving.host, door.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    url = f"http://{shown}:{port}"
    live = app.state.heed.router.route.live
    model = settings.trainer.base_model if settings.serving.engine == "local" else "no model (echo)"
    output.say(f"Heed is up: {model}, adapter {live}, doing {', '.join(roles)}.")
    output.facts(
        [
            ("  API", f"{url}/v1"),
            ("  Docs", f"{url}/docs"),
            ("  Data", settings.feedback.data_dir.absolute()),
            ("  Console", f"{url}/console/" if "console" in roles else None),
            ("  Widget", f"{url}/widget/demo"),
        ]
    )


def _log_to_stderr(settings: Settings) -> None:
    logs.configure(settings.serving.log_level, settings.serving.log_format)
