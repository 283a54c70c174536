"""``heed up`` with its console, which tells how long its own part of reviewing took.

    python -m benchmarks.console_server PORT

Pages, sockets, routes and the scheduler are those of production; around the two calls that the page
waits for there is a clock, from the event loop and back to it. Knows nothing of what is measured.
"""

import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import FastAPI

from benchmarks import server_process
from feedback.store import Store

MEASURED = "/measured"
TIMED = ("decide", "next")


@contextlib.contextmanager
def running(store: Store, new_material: int) -> Iterator[tuple[str, int]]:
    """Serve from the folder and the database of a store until the block ends.

    Args:
        store: filled; it stays open.
        new_material: so much accepted feedback would begin a round.

    Yields:
        The server's URL, and the number of its process.
    """
    from tests import builders  # not needed by the server, which is this module, too

    now = time.time()
    # What was said before is for the last round, so none begins while this measures.
    builders.ended_round(store, created_at=now, started_at=now, ended_at=now)
    port, folder = server_process.free_port(), store.settings.data_dir
    environment = {
        **server_process.own_environment(),
        "HEED_FEEDBACK__DATA_DIR": str(folder),
        "HEED_SERVING__ENGINE": "echo",
        "HEED_TRAINER__NEW_MATERIAL": str(new_material),
        **({"HEED_FEEDBACK__DATABASE_URL": url} if (url := store.settings.database_url) else {}),
    }
    command = [sys.executable, "-P", "-m", "benchmarks.console_server", str(port)]
    with server_process.process(command, environment, folder) as up:
        server_process.wait(f"http://127.0.0.1:{port}/readyz", up)
        yield f"http://127.0.0.1:{port}", up.pid


def main() -> None:
    """Serve until told to stop."""
    from serving.app import create_app
    from serving.commands import server
    from serving.console.pages.review_calls import Calls
    from serving.settings import load

    seconds: dict[str, list[float]] = {name: [] for name in TIMED}

    def clocked(name: str) -> Callable[..., Awaitable[Any]]:
        call = getattr(Calls, name)

        async def asked(*args: Any, **named: Any) -> Any:
            began = time.perf_counter()
            done = await call(*args, **named)
            seconds[name].append(time.perf_counter() - began)
            return done

        return asked

    def with_clocks(*settings: Any, **others: Any) -> FastAPI:
        app = create_app(*settings, **others)

        async def measured() -> dict[str, list[float]]:
            return seconds

        app.add_api_route(MEASURED, measured)
        app.router.routes.insert(0, app.router.routes.pop())  # before every route with a pattern
        return app

    for name in TIMED:
        setattr(Calls, name, clocked(name))
    vars(server)["create_app"] = with_clocks
    server.run(load(serving={"port": int(sys.argv[1])}), roles=("api", "console", "scheduler"))


if __name__ == "__main__":
    main()
