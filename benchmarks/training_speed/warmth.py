"""Seconds from asking a warm worker for a training to the end of its first optimizer step."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.training_speed import processes

_REPEATS = 2
"""The worker imports while it is asked for the first time; what counts is the last."""


def first_step_seconds(folder: Path, log: Path) -> float:
    """Start a worker, have it train the task in a folder, and end each child after its first step.

    Raises:
        RuntimeError: a training failed, or the worker is gone; with its last words.
    """
    command = processes.python("-m", "benchmarks.training_speed.warm_worker")
    with (
        log.open("wb") as words,
        subprocess.Popen(
            command,
            env=processes.environment(1),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        ) as worker,
    ):
        try:
            took = [_one(worker, folder) for _ in range(_REPEATS)]
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{log.read_text(errors='replace')[-2000:]}") from error
        finally:
            worker.terminate()
    return took[-1]


def _one(worker: "subprocess.Popen[str]", folder: Path) -> float:
    assert worker.stdin is not None and worker.stdout is not None
    begun = time.perf_counter()
    worker.stdin.write(f"{folder}\n")
    worker.stdin.flush()
    first, child = 0.0, 0
    for line in worker.stdout:
        if line.startswith(processes.STEP_ONE) and not first:
            first = time.perf_counter() - begun
            os.kill(child, signal.SIGTERM)
        elif line.startswith("{"):
            said = json.loads(line)
            child = said.get("started", child)
            if "ended" in said:
                break
    if not first:
        raise RuntimeError("The warm worker's child took no step.")
    return first
