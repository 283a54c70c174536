"""Runs a round as a child process on this machine. Knows nothing of what a round does.

A fresh process per round: its memory, the accelerator's included, goes back with it, and a crash
in training cannot touch the server that people are talking to.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from feedback.settings import FeedbackSettings

NICE = 10
"""Training yields to answering: where both want a core, it gets about a tenth of it."""


class LocalExecutor:
    """Starts at most one round process at a time and says how it ended."""

    def __init__(self, settings: FeedbackSettings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Where the round processes write."""
        return self._settings.data_dir / "logs" / "rounds.log"

    @property
    def pid(self) -> int | None:
        """The process id of the last child, running or not."""
        return self._child.pid if self._child else None

    @property
    def killed(self) -> bool:
        """Whether the last child was ended by SIGKILL, as the kernel does where memory runs out."""
        return self._child is not None and self._child.poll() == -signal.SIGKILL

    def warm_up(self) -> None:
        """Do ahead of the first round what can be done ahead: here, nothing."""

    def start(self, round_id: str) -> None:
        """Start the process of a round; its row says everything else."""
        self._child = self._spawn(["run", round_id], stdin=subprocess.DEVNULL, stdout=None)

    def running(self) -> bool:
        """Whether the last child still runs; reaps it when it does not."""
        return self._child is not None and self._child.poll() is None

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Wait for the child's end; None where it still runs after the timeout."""
        if self._child is None:
            return 0
        try:
            return self._child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End the child: politely, then for good. The round itself is taken up again later."""
        if self._child is None or self._child.poll() is not None:
            return
        self._child.terminate()
        if self.wait(grace_seconds) is None:
            self._child.kill()
            self._child.wait()

    def _spawn(
        self, arguments: list[str], *, stdin: int, stdout: int | None
    ) -> "subprocess.Popen[bytes]":
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "trainer", *arguments],
                env=self._environment(),
                stdin=stdin,
                stdout=stdout or log,
                stderr=log,
                preexec_fn=lambda: os.nice(NICE),  # noqa: PLW1509 - nice() takes no lock
            )

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        return {
            **os.environ,
            "HEED_FEEDBACK__DATA_DIR": str(settings.data_dir.absolute()),
            "HEED_FEEDBACK__DATABASE_URL": settings.url,
        }
