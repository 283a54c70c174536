"""Starts the other processes of a training that several do together. Knows nothing of training.

The caller is the first of them: it holds the round, reports and writes. The others read the same
task from a folder, take their share of every step, and end with it.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from feedback.errors import Unavailable
from trainer import task
from trainer.hardware import calm_threads

if TYPE_CHECKING:
    from trainer.distributed import Seat

_GRACE_SECONDS = 5.0


@contextmanager
def beside(work: task.Task, folder: Path) -> Iterator["Seat | None"]:
    """Start as many more processes as the plan asks for; yields the caller's own seat.

    None where the plan asks for one process only. The others end when this does, whatever
    happened.

    Args:
        work: what all of them do.
        folder: where they read it; it is made, and removed in the end.
    """
    size = work.plan.processes
    if size == 1:
        yield None
        return
    calm_threads()
    from trainer.distributed import keep_gpu, local

    shutil.rmtree(folder, ignore_errors=True)  # what a crash left
    others: list[subprocess.Popen[bytes]] = []
    try:
        task.write(folder, work)
        others += [_start(folder, rank, size) for rank in range(1, size)]
        keep_gpu(0)  # after the others have inherited the view of all
        yield local(folder, 0, size, check=lambda: _check(others))
    finally:
        _end(others)
        shutil.rmtree(folder, ignore_errors=True)


def seat(folder: Path, rank: int, size: int) -> "Seat":
    """The seat of a process that was started here.

    Args:
        folder: of the task.
        rank: this process's number.
        size: how many there are.

    Raises:
        Invalid: there are GPUs, and none for this one.
    """
    from trainer.distributed import keep_gpu, local

    keep_gpu(rank)
    return local(folder, rank, size)


def _start(folder: Path, rank: int, size: int) -> "subprocess.Popen[bytes]":
    said = ["train", str(folder), "--rank", str(rank), "--of", str(size)]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "trainer", *said],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _check(others: list["subprocess.Popen[bytes]"]) -> None:
    """Raise where one of them has ended before the training did."""
    for rank, process in enumerate(others, start=1):
        code = process.poll()
        if code is not None:
            raise Unavailable(
                f"Process {rank} of this training ended before it began (exit code {code}). The "
                "log of the rounds says why; with trainer.processes = 1 none is needed."
            )


def _end(others: list["subprocess.Popen[bytes]"]) -> None:
    """They end by themselves when all is done; whoever has not is told to."""
    for process in others:
        process.terminate()
    for process in others:
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
