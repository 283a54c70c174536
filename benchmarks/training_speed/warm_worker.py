"""The product's warm worker, whose children train a task folder in place of a round of a database.

    python -P -m benchmarks.training_speed.warm_worker

A folder a line on standard input; what a child says, and the worker's own lines, come back. So the
rows, the plan and the training are those of the cold contestant, and the parent, its imports, its
frozen memory and its forks are the product's.
"""

import sys
from pathlib import Path
from unittest import mock

from trainer.executors import warm


def _train(folder: str) -> int:
    """What a child does."""
    from trainer.__main__ import train

    return train(Path(folder), None)


def main() -> int:
    """Be the parent until standard input closes."""
    with mock.patch.object(warm, "_run", _train):
        return warm.serve()


if __name__ == "__main__":
    sys.exit(main())
