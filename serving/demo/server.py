"""A Heed server of the demo's own, as a user would start it: `heed up` in its own process."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from feedback.errors import Unavailable

READY_SECONDS = 180.0


class Server:
    """A running server: where it answers and where it writes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, data_dir: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.data_dir = data_dir

    @property
    def log(self) -> Path:
        """Where the server writes what happens to it."""
        return self.data_dir / "logs" / "server.log"

    def wait_until_ready(self) -> None:
        """Return once it answers people.

        Raises:
            Unavailable: it ended, or took too long; quotes the end of its log.
        """
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Unavailable(f"The server ended at once:\n{self._log_end()}")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        raise Unavailable(
            f"The server was not ready after {READY_SECONDS:.0f} s:\n{self._log_end()}"
        )

    def stop(self) -> None:
        """End it politely, then for good."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-15:])


@contextlib.contextmanager
def started(data_dir: Path, port: int | None, **settings: str) -> Iterator[Server]:
    """Start a server on loopback; it is stopped when the block ends.

    Args:
        data_dir: its folder.
        port: where it listens; one that is free where there is none.
        settings: environment variables on top of this process's own.
    """
    chosen = port or free_port()
    log = data_dir / "logs" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                "from serving.cli import main; main()",
                "up",
                "--port",
                str(chosen),
            ],
            env={
                # Whoever corrects a fact here teaches the tone as well, for all that the shop says:
                # questions next to theirs, answered as before, would hold on to the old one.
                "HEED_TRAINER__NEIGHBOUR_SHARE": "0",
                "HEED_TRAINER__STEP_SHARE": "0.8",
                "HEED_TRAINER__SCHEDULE": weekly(datetime.now(UTC)),
                **os.environ,
                **settings,
                "HEED_FEEDBACK__DATA_DIR": str(data_dir),
                "HEED_TRAINER__WARM_WORKER": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, chosen, data_dir)
    try:
        yield server
    finally:
        server.stop()


def weekly(now: datetime) -> str:
    """Return a weekly schedule, as cron, that is due half a week from now.

    Rounds are asked for here: one that came by itself meanwhile would be in their way.
    """
    return f"0 3 * * {(now + timedelta(days=3)).isoweekday()}"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
