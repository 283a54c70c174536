"""``python -P -m trainer run ROUND_ID``: one round, in a process of its own.

The round's row is the whole interface; memory goes back to the system with the process.
"""

import sys

from trainer.hardware import calm_threads


def main(arguments: list[str]) -> int:
    """Run a round; 0 where it was promoted, refused or abstained, 1 where it failed."""
    calm_threads()  # before anything loads torch
    from feedback.errors import HeedError
    from feedback.settings import load_settings
    from feedback.store import Store
    from trainer import round as rounds
    from trainer.settings import ProcessSettings

    if len(arguments) != 2 or arguments[0] != "run":
        print("usage: python -P -m trainer run ROUND_ID", file=sys.stderr)
        return 2
    try:
        settings = load_settings(ProcessSettings).feedback
        state = rounds.run(Store(settings), settings, arguments[1])
    except HeedError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0 if state in ("promoted", "refused", "abstained") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
