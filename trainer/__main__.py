"""``python -P -m trainer run ROUND_ID``: one round, in a process of its own.

The round's row is the whole interface; memory goes back to the system with the process.
``python -P -m trainer worker`` does the same for one round after another (`executors.warm`).
"""

import sys

from trainer.hardware import calm_threads

USAGE = "usage: python -P -m trainer run ROUND_ID | worker"


def main(arguments: list[str]) -> int:
    """Run a round, or the worker that forks for rounds; returns the exit code."""
    calm_threads()  # before anything loads torch
    match arguments:
        case ["run", round_id]:
            return run(round_id)
        case ["worker"]:
            from trainer.executors import warm

            return warm.serve()
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
    return 0 if state in ("promoted", "refused", "abstained") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
