"""``heed up`` with the engine that repeats people, and beside its routes one that does nothing.

    python -m benchmarks.ingest_server PORT

What the feedback benchmarks ask: every request goes through the same door, the same middleware and
the same log as in production. Knows nothing of what is measured.
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Response

from benchmarks import server_process

NO_OP = "/no-op"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve from a data folder until the block ends; gives host and port."""
    port = server_process.free_port()
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **server_process.own_environment(),
        "HEED_FEEDBACK__DATA_DIR": str(folder),
        "HEED_SERVING__ENGINE": "echo",
    }
    command = [sys.executable, "-P", "-m", "benchmarks.ingest_server", str(port)]
    with server_process.process(command, environment, folder) as up:
        server_process.wait(f"http://127.0.0.1:{port}/readyz", up)
        yield "127.0.0.1", port


def completions(host: str, port: int, count: int) -> list[str]:
    """Have so many chats and return their completion ids."""
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as http:
        return [_completion(http, number) for number in range(count)]


def _completion(http: httpx.Client, number: int) -> str:
    asked = {"model": "heed", "messages": [{"role": "user", "content": f"Number {number}?"}]}
    answer = http.post("/v1/chat/completions", json=asked)
    answer.raise_for_status()
    return str(answer.json()["id"])


async def _nothing() -> Response:
    return Response(b"{}", media_type="application/json")


def main() -> None:
    """Serve until told to stop."""
    from serving.app import create_app
    from serving.commands import server
    from serving.settings import load

    def with_no_op(*settings: Any, **others: Any) -> FastAPI:
        app = create_app(*settings, **others)
        # First, so that no other route is compared with the address before it.
        app.add_api_route(NO_OP, _nothing, methods=["POST"])
        app.router.routes.insert(0, app.router.routes.pop())
        return app

    vars(server)["create_app"] = with_no_op
    server.run(load(serving={"port": int(sys.argv[1])}), roles=("api",))


if __name__ == "__main__":
    main()
