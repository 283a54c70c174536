"""Runs a contestant in a process of its own: CPU time, wall time and peak memory as the system saw them.

Knows nothing of what runs.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import server_process

STEP_ONE = "1/"
"""What a contestant's line begins with when its first optimizer step is done."""
_STEP = re.compile(r"\d+/\d+\b")


@dataclass(frozen=True)
class Ran:
    """What a process, or several one after the other, took.

    Attributes:
        cpu_seconds: of all its threads and children.
        wall_seconds: from its start to its end.
        peak_mb: largest resident memory of any of them.
        first_step_seconds: from its start to the end of the first optimizer step; 0 where it
            does not say.
        steps_seconds: from then to the end of its last step.
        said: its last line.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    first_step_seconds: float
    steps_seconds: float
    said: str

    def figures(self) -> dict[str, float]:
        """What is kept of it."""
        return {name: value for name, value in vars(self).items() if name != "said"}

    def then(self, other: "Ran") -> "Ran":
        """Both, one after the other."""
        return Ran(
            self.cpu_seconds + other.cpu_seconds,
            self.wall_seconds + other.wall_seconds,
            max(self.peak_mb, other.peak_mb),
            self.first_step_seconds,
            self.steps_seconds + other.steps_seconds,
            other.said,
        )


def environment(threads: int, **more: str) -> dict[str, str]:
    """So many threads for whoever computes, no word to any hub, and the checkout to import from."""
    count = str(threads)
    return {
        **server_process.own_environment(),
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), count),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        **more,
    }


def python(*arguments: str | Path) -> list[str]:
    """This Python with a module or code."""
    return [sys.executable, "-P", *map(str, arguments)]


def run(command: Sequence[str], environment: dict[str, str], log: Path) -> Ran:
    """Run to the end.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    with log.open("wb") as words:
        begun = time.perf_counter()
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=words, cwd=log.parent
        )
        assert child.stdout is not None
        first = latest = 0.0
        last = ""
        with child.stdout as told:
            for raw in told:
                line = raw.decode(errors="replace").strip()
                if _STEP.match(line):
                    latest = time.perf_counter() - begun
                    if line.startswith(STEP_ONE):
                        first = latest
                last = line or last
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(
            f"{' '.join(command[:6])} … ended with {child.returncode}:\n"
            f"{log.read_text(errors='replace')[-2000:]}"
        )
    cpu = used.ru_utime + used.ru_stime
    return Ran(cpu, wall, used.ru_maxrss / 1024, first, latest - first, last)
