"""``python -P -m trainer run ROUND_ID``: one round, in a process of its own.

The round's row is the whole interface; memory goes back to the system with the process.
``python -P -m trainer worker`` does the same for one round after another (`executors.warm`), and
``python -P -m trainer train FOLDER`` trains one adapter without a round (`task`), alone or as one
of several processes.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import short_lived
from trainer.hardware import calm_threads

if TYPE_CHECKING:
    from trainer.curve import Progress

USAGE = "usage: python -P -m trainer run ROUND_ID | worker | train FOLDER"


def main(arguments: list[str]) -> int:
    """Run a round, or the worker that forks for rounds; returns the exit code."""
    calm_threads()  # before anything loads torch
    short_lived.begin()
    try:
        return _do(arguments)
    finally:
        short_lived.end()


def _do(arguments: list[str]) -> int:
    match arguments:
        case ["run", round_id]:
            return run(round_id)
        case ["worker"]:
            from trainer.executors import warm

            return warm.serve()
        case ["train", folder]:
            return train(Path(folder), None)
        case ["train", folder, "--rank", rank, "--of", size]:
            return train(Path(folder), (int(rank), int(size)))
        case _:
            print(USAGE, file=sys.stderr)
            return 2


def run(round_id: str) -> int:
    """Run a round; 0 where it was promoted, refused or abstained, 1 where it failed."""
    from feedback.errors import HeedError
    from feedback.settings import load_settings
    from feedback.store import Store
    from trainer import round as rounds
    from trainer.settings import ProcessSettings

    try:
        settings = load_settings(ProcessSettings).feedback
        state = rounds.run(Store(settings), settings, round_id)
    except HeedError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0 if state in ("pending", "promoted", "refused", "abstained") else 1


def train(folder: Path, among: tuple[int, int] | None) -> int:
    """Train the adapter that a task folder asks for; 0 where it was.

    Args:
        folder: holds the task.
        among: this process's rank and how many a round has started; None under torchrun, or where
            the task is done alone.
    """
    from feedback.errors import HeedError
    from trainer import learner, task
    from trainer.distributed import launched
    from trainer.executors import ranks

    try:
        seat = ranks.seat(folder, *among) if among else launched()
        work = task.read(folder)
        learner.train(
            work.plan,
            work.base_folder,
            work.examples,
            parent=work.parent,
            out=work.out,
            report=_say if seat is None or seat.rank == 0 else lambda _: None,
            dev=work.dev,
            checkpoints=work.checkpoints,
            seat=seat,
        )
    except HeedError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def _say(step: "Progress") -> None:
    print(f"{step.step}/{step.steps} loss {step.loss:.4f}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
