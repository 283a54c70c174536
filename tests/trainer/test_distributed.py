"""Several processes learn what one would have learned, and none goes on without the others."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import distributed_c10d as c10d

from feedback.errors import HeedError, Invalid, Unavailable
from tests.trainer.rounds import MIXED, apart, learn, plan, weights
from trainer import __main__ as trainer_main
from trainer import adapter_folder, base_model, distributed, task
from trainer.curve import Progress
from trainer.distributed import Group, Seat
from trainer.executors import ranks
from trainer.learner import Cancelled, train
from trainer.round_trainer import RoundTrainer
from trainer.rows import Row

ROOT = Path(__file__).parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
FORKED = [
    Row("preference", [5, 9, 11], [[20 + at, 4], [33, 31, 4]], reference=[-9, -9])
    for at in range(4)
]
PLAIN = [Row("demonstration", [5, 9, 8 + at], [[50, 51, 4][at % 2 :]]) for at in range(5)]
JUDGED = [
    Row("verdict", [6, 8 + at], [[40, 4], [41, 42, 4]], liked=at > 0, reference=[-9, -9])
    for at in range(3)
]


def groups(folder: Path, size: int) -> list[Callable[[], Group]]:
    """Processes of a group, played by threads; each is made in its own."""

    def make(rank: int) -> Group:
        path = str(folder / "store")
        store = torch.distributed.FileStore(path, size)  # type: ignore[attr-defined]
        gloo: Any = c10d.ProcessGroupGloo(store, rank, size, timedelta(seconds=30))
        return Group(rank, size, store, lambda flat: gloo.allreduce([flat]).wait())

    return [lambda rank=rank: make(rank) for rank in range(size)]  # type: ignore[misc]


class InTurn:
    """Builds trainers one after another, and lets none begin before all are built.

    Processes need no such thing; in threads they share accelerate's state and torch's chance.
    """

    def __init__(self, size: int) -> None:
        self._lock, self._all = threading.Lock(), threading.Barrier(size, timeout=60)

    def __call__(self, build: Callable[[], RoundTrainer]) -> RoundTrainer:
        with self._lock:
            built = build()
        self._all.wait()
        return built


def side_by_side(work: Callable[[Group], Any], made: list[Callable[[], Group]]) -> list[Any]:
    """What each of them made of it: a result, or what it raised."""
    results: list[Any] = [None] * len(made)

    def run(rank: int) -> None:
        try:
            results[rank] = work(made[rank]())
        except Exception as error:  # noqa: BLE001 - looked at by the test
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(made))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def trainer_of(folder: Path, scratch: Path, group: Group | None, **options: Any) -> RoundTrainer:
    base = base_model.load(folder, dtype=torch.float32)
    return RoundTrainer(
        model=adapter_folder.fresh(base.model, plan()),
        tokenizer=base.tokenizer,
        schedule=[[PLAIN, JUDGED + FORKED], [PLAIN], [JUDGED]],
        plan=plan(verdict_weight=1.0, preference_weight=1.0),
        scratch=str(scratch),
        group=group,
        **options,
    )


@pytest.mark.parametrize("size", [2, 3])
def test_whole_batches_are_shared_and_those_with_verdicts_never_cut(size: int) -> None:
    for step in ([PLAIN, JUDGED + FORKED], [PLAIN], [JUDGED], [FORKED, PLAIN, PLAIN, JUDGED]):
        shares = [Group(rank, size, None, lambda _: None).share(step) for rank in range(size)]
        rows = sorted(id(row) for share in shares for batch in share for row in batch)
        assert rows == sorted(id(row) for batch in step for row in batch)
        judged = [batch for share in shares for batch in share if JUDGED[0] in batch]
        assert all(len([r for r in batch if r.kind == "verdict"]) == 3 for batch in judged)
        if step != [JUDGED]:
            assert sum(bool(share) for share in shares) >= 2


def test_every_process_takes_the_steps_that_one_alone_would_take(
    tiny_model: Path, tmp_path: Path
) -> None:
    alone: list[Any] = []
    whole = trainer_of(tiny_model, tmp_path, None, report=alone.append)
    whole.train()
    one_by_one = InTurn(2)

    def work(group: Group) -> tuple[Any, list[Any]]:
        steps: list[Any] = []
        trainer = one_by_one(lambda: trainer_of(tiny_model, tmp_path, group, report=steps.append))
        trainer.train()
        return trainer.model, steps

    results = side_by_side(work, groups(tmp_path, 2))
    expected = dict(whole.model.named_parameters())
    for model, steps in results:
        assert [s.tokens for s in steps] == [s.tokens for s in alone]
        assert [s.loss for s in steps] == pytest.approx([s.loss for s in alone], rel=1e-5)
        for step, other in zip(steps, alone, strict=True):
            assert step.objectives == pytest.approx(other.objectives, rel=1e-5)
        for name, weight in model.named_parameters():
            torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-5)
    ours, theirs = (dict(model.named_parameters()) for model, _ in results)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_one_cannot_go_on_with_ends_all_in_the_same_step(
    tiny_model: Path, tmp_path: Path
) -> None:
    one_by_one = InTurn(2)

    def work(group: Group) -> None:
        seen: list[int] = []

        def before_each() -> None:
            seen.append(1)
            if group.rank == 1 and len(seen) == 2:
                raise Invalid("The disk of rank 1 is gone.")

        one_by_one(lambda: trainer_of(tiny_model, tmp_path, group, before_each=before_each)).train()

    first, second = side_by_side(work, groups(tmp_path, 2))
    assert isinstance(second, Invalid)
    assert second.message == "The disk of rank 1 is gone."
    assert isinstance(first, Invalid)
    assert first.message == (
        "Process 1 of this training could not go on: The disk of rank 1 is gone."
    )


def test_references_are_worked_out_by_all_and_known_to_all(tmp_path: Path) -> None:
    def work(group: Group) -> list[list[float]]:
        rows = [Row("preference", [5], [[at], [at + 1]]) for at in range(5)]
        for row in group.own(rows):
            row.reference = [-float(row.branches[0][0]), -0.5]
        group.tell_references(rows, torch.device("cpu"))
        return [row.reference for row in rows]

    for found in side_by_side(work, groups(tmp_path, 2)):
        assert found == [[-float(at), -0.5] for at in range(5)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_two_processes_under_torchrun_give_the_adapter_of_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "batch_tokens": 96,
        "epochs": 3.0,
        "ewc_weight": 5.0,
        "unfreeze_every_steps": 2,
    }
    one = learn(tiny_model, MIXED, tmp_path / "one", **changes)
    folder = tmp_path / "task"
    work = task.Task(plan(**changes), tiny_model, tuple(MIXED), None, tmp_path / "two")
    task.write(folder, work)
    done = subprocess.run(
        [*TORCHRUN, "--nproc_per_node", "2", "--standalone", "-m", "trainer", "train", str(folder)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert apart(tmp_path / "one", tmp_path / "two") < 1e-4
    assert max(float(w.abs().max()) for w in weights(tmp_path / "two").values()) > 0.01
    reported = [line for line in done.stdout.splitlines() if " loss " in line]
    assert len(reported) == one.steps  # by one process only
    last = float(reported[-1].rpartition(" ")[2])
    assert last == pytest.approx(one.loss, abs=2e-4)


class Forked:
    """A process of `ranks`, forked from here, where everything is imported already."""

    def __init__(self, folder: Path, rank: int, size: int) -> None:
        self.pid = os.fork()
        self._code: int | None = None
        if not self.pid:
            code = 1
            try:
                code = trainer_main.train(folder, (rank, size))
            finally:
                os._exit(code)

    def poll(self, flags: int = os.WNOHANG) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, flags)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, _timeout: float) -> int | None:
        return self.poll(0)


def together(
    folder: Path, out: Path, *, report: Callable[[Progress], None], stop: Callable[[], bool]
) -> None:
    settings = plan(processes=2, epochs=500.0)
    work = task.Task(settings, folder, tuple(MIXED), None, out)
    with ranks.beside(work, out.with_suffix(".task")) as seat:
        train(
            settings,
            folder,
            MIXED,
            parent=None,
            out=out,
            report=report,
            should_stop=stop,
            seat=seat,
        )


def test_all_stop_when_the_first_is_asked_to_and_nothing_is_left(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Forked] = []

    def fork(*given: Any) -> Forked:
        started.append(Forked(*given))
        return started[-1]

    monkeypatch.setattr(ranks, "_start", fork)
    steps: list[int] = []
    with pytest.raises(Cancelled):
        together(
            tiny_model,
            tmp_path / "out",
            report=lambda step: steps.append(step.step),
            stop=lambda: len(steps) >= 3,
        )
    assert steps == [1, 2, 3]
    assert [process.poll() is None for process in started] == [False]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # as long as it takes a process to import torch and its friends
def test_a_process_that_dies_ends_the_round_with_a_clear_word(
    tiny_model: Path, tmp_path: Path, beside: list[subprocess.Popen[bytes]]
) -> None:
    def report(step: Progress) -> None:
        if step.step == 2:
            os.kill(beside[0].pid, signal.SIGKILL)

    with pytest.raises(Unavailable, match="Another process of this training ended"):
        together(tiny_model, tmp_path / "out", report=report, stop=lambda: False)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_does_not_start_is_noticed_at_once(tmp_path: Path) -> None:
    def gone() -> None:
        raise Unavailable("Process 1 ended before it began.")

    seat = distributed.local(tmp_path, 0, 2, check=gone)
    with (
        pytest.raises(HeedError, match="ended before it began"),
        distributed.joined(seat, lambda: None),
    ):
        pass


def test_a_launchers_variables_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.launched() is None
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29511")
    seat = distributed.launched()
    assert isinstance(seat, Seat)
    assert (seat.rank, seat.size) == (1, 2)
    assert distributed.launched() is None
