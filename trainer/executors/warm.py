"""Runs rounds from a parent that has imported everything and forks a child for each.

Most of a small round's start is importing torch and its friends; a parent that has done so once
makes a round start in a tenth of a second. Each round still has a process of its own, which takes
its memory with it. The price is the idle parent's memory, so it is a setting.
"""

import json
import signal
import subprocess
import sys
import threading

from feedback.settings import FeedbackSettings
from trainer.executors.local import LocalExecutor


class WarmExecutor(LocalExecutor):
    """As `LocalExecutor`, with the parent started ahead of the first round.

    The parent says on its standard output when a child starts and ends, one JSON object a line.
    Where it dies, the next round starts another.
    """

    def __init__(self, settings: FeedbackSettings) -> None:
        super().__init__(settings)
        self._parent: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._ended = threading.Event()
        self._ended.set()
        self._pid: int | None = None
        self._code: int | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the last child, running or not."""
        return self._pid

    @property
    def killed(self) -> bool:
        """Whether the last child was ended by SIGKILL, as the kernel does where memory runs out."""
        return self._code == -signal.SIGKILL

    def warm_up(self) -> None:
        """Start the parent, if there is none."""
        if self._parent is None or self._parent.poll() is not None:
            self._parent = self._spawn(["worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._listener = threading.Thread(
                target=self._listen, args=(self._parent,), name="heed-worker", daemon=True
            )
            self._listener.start()

    def start(self, round_id: str) -> None:
        """Have the parent fork a child for this round."""
        self.warm_up()
        assert self._parent is not None and self._parent.stdin is not None
        self._pid = self._code = None
        self._ended.clear()
        self._parent.stdin.write(f"{round_id}\n".encode())
        self._parent.stdin.flush()

    def running(self) -> bool:
        """Whether the last child still runs."""
        return not self._ended.is_set()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Wait for the child's end; None where it still runs after the timeout."""
        return 0 if self._ended.wait(timeout_seconds) else None

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End the parent, which ends its child."""
        self._child = self._parent
        super().stop(grace_seconds=grace_seconds)
        if self._parent is not None and self._listener is not None:
            self._parent.wait()
            self._listener.join()
            for pipe in (self._parent.stdin, self._parent.stdout):
                if pipe is not None:
                    pipe.close()

    def _listen(self, parent: "subprocess.Popen[bytes]") -> None:
        assert parent.stdout is not None
        for line in parent.stdout:
            said = json.loads(line)
            if "started" in said:
                self._pid = said["started"]
            else:
                self._code = said["ended"]
                self._ended.set()
        self._ended.set()  # the parent is gone; whether its child is, the lease will tell


def serve() -> int:
    """Be the parent: fork a child for every round id on standard input, until it closes."""
    import gc
    import os

    from trainer import learner, policy, round, slices  # noqa: F401 - imported for the children

    learner.preload()
    slices.preload()
    gc.collect()
    gc.freeze()  # else the collector would touch, and so copy, every page the children share
    child = 0

    def end(number: int, _frame: object) -> None:
        if child:
            os.kill(child, number)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os._exit(_run(line.strip()))
        _say(started=child)
        _, status = os.waitpid(child, 0)
        child = 0
        _say(ended=os.waitstatus_to_exitcode(status))
    return 0


def _run(round_id: str) -> int:
    """Run one round in a forked child, whatever happens to it."""
    from trainer.__main__ import run

    try:
        return run(round_id)
    except BaseException:  # noqa: BLE001 - the child must end here and not in the parent's loop
        import traceback

        traceback.print_exc()
        return 1
    finally:
        sys.stderr.flush()


def _say(**what: int) -> None:
    print(json.dumps(what), flush=True)
