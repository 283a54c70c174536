"""A training that was cut off goes on from its checkpoint, and ends in the very same bytes."""

import itertools
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.trainer.rounds import ask, demonstration
from tests.trainer.test_learner import plan
from trainer import after_step, checkpoints
from trainer.checkpoints import COMPLETE, TENSORS
from trainer.curve import Progress
from trainer.examples import Example
from trainer.learner import Cancelled, Trained, train

EXAMPLES = [
    demonstration("What colour is the sky?", "It is green."),
    demonstration("Who wrote the letter?", "Ana wrote it, and left it behind the old market."),
    demonstration("Why?", "Because."),
    Example("preference", ask("Who?"), "Ana.", rejected="I do not know."),
    Example("verdict", ask("How many?"), "Seven apples.", liked=True),
    Example("verdict", ask("Where?"), "There.", liked=False, weight=0.3),
]
DEV = [demonstration("What colour is the sea?", "It is green or blue.")]
PLAIN: dict[str, Any] = {"epochs": 6, "batch_tokens": 64}
EVERYTHING: dict[str, Any] = {
    "epochs": 6,
    "batch_tokens": 64,
    "dropout": 0.1,
    "lr_schedule": "cosine_with_restarts",
    "weight_decay": 0.01,
    "keep_best": True,
    "dev_every_steps": 2,
    "plateau_patience": 2,
    "batch_range": 4,
}


class Run:
    """A training that can be cut off after a step and called again."""

    def __init__(self, model: Path, folder: Path, **changes: Any) -> None:
        self._model, self.folder, self._changes = model, folder, changes

    def go(self, *, until: int | None = None) -> Trained:
        seen: list[int] = []

        def report(step: Progress) -> None:
            seen.append(step.step)

        return train(
            plan(**{"checkpoint_seconds": 0, **self._changes}),
            self._model,
            EXAMPLES,
            parent=None,
            out=self.folder / "out",
            report=report,
            should_stop=lambda: until is not None and bool(seen) and seen[-1] >= until + 1,
            dev=DEV,
            checkpoints=self.folder / "kept",
        )

    def cut_off(self, step: int) -> None:
        """Leave a checkpoint of this step as the last."""
        with pytest.raises(Cancelled):
            self.go(until=step)

    @property
    def weights(self) -> bytes:
        return (self.folder / "out" / "adapter_model.safetensors").read_bytes()

    @property
    def kept(self) -> list[Path]:
        return sorted((self.folder / "kept").glob("step-*"))


def untimed(done: Trained) -> list[tuple[object, ...]]:
    return [
        (s.step, s.loss, s.learning_rate, s.tokens, s.gradient_norm, s.dev_loss, s.objectives)
        for s in done.curve
    ]


def test_cut_off_anywhere_it_ends_in_the_same_bytes_with_all_that_adapts(
    tiny_model: Path, tmp_path: Path
) -> None:
    undisturbed = Run(tiny_model, tmp_path / "undisturbed", **EVERYTHING)
    whole = undisturbed.go()
    assert any("noise scale" in note for note in whole.notes)
    assert any("Kept the weights" in note for note in whole.notes)
    for step in (1, whole.steps // 2, whole.steps - 2):
        run = Run(tiny_model, tmp_path / str(step), **EVERYTHING)
        run.cut_off(step)
        done = run.go()
        assert any(f"after step {step}." in note for note in done.notes)
        assert untimed(done) == untimed(whole)
        assert run.weights == undisturbed.weights


def test_cut_off_twice_and_on_two_lanes_it_is_still_the_same(
    tiny_model: Path, tmp_path: Path
) -> None:
    undisturbed = Run(tiny_model, tmp_path / "undisturbed", threads=1, **PLAIN)
    undisturbed.go()
    run = Run(tiny_model, tmp_path / "run", threads=2, **PLAIN)
    run.cut_off(3)
    run.cut_off(7)
    run.go()
    assert run.weights == undisturbed.weights


def test_killed_by_the_system_at_three_places_it_ends_in_the_same_bytes(
    tiny_model: Path, tmp_path: Path
) -> None:
    undisturbed = Run(tiny_model, tmp_path / "undisturbed", **PLAIN)
    whole = undisturbed.go()
    run = Run(tiny_model, tmp_path / "run", **PLAIN)
    for step in (2, 6, whole.steps - 1):
        child = os.fork()
        if not child:
            _killed_after(run, step)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert not (run.folder / "out").exists()
        assert int(run.kept[-1].name.removeprefix("step-")) == step
    assert untimed(run.go()) == untimed(whole)
    assert run.weights == undisturbed.weights


def _killed_after(run: Run, step: int) -> None:
    """Never returns: the process dies by kill -9 once the checkpoint of this step is written."""
    write = checkpoints.write

    def then_die(place: Path, state: checkpoints.State, *, work: str) -> Path:
        written = write(place, state, work=work)
        if state.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    checkpoints.write = then_die
    try:
        run.go()
    finally:
        os._exit(1)


@pytest.mark.parametrize("name", [TENSORS, COMPLETE])
def test_a_torn_checkpoint_costs_the_steps_since_the_one_before_and_nothing_else(
    tiny_model: Path, tmp_path: Path, name: str
) -> None:
    undisturbed = Run(tiny_model, tmp_path / "undisturbed", **PLAIN)
    undisturbed.go()
    run = Run(tiny_model, tmp_path / "run", **PLAIN)
    run.cut_off(4)
    path = run.kept[-1] / name
    path.write_bytes(path.read_bytes()[:-1])
    done = run.go()
    assert any("after step 3." in note for note in done.notes)
    assert run.weights == undisturbed.weights


def test_another_plan_or_other_material_does_not_take_it_up(
    tiny_model: Path, tmp_path: Path
) -> None:
    run = Run(tiny_model, tmp_path, **PLAIN)
    run.cut_off(4)
    other = Run(tiny_model, tmp_path, **{**PLAIN, "seed": 1})
    assert other.go().notes == ()
    EXAMPLES.append(demonstration("And?", "That is all."))
    try:
        assert run.go().notes == ()
    finally:
        EXAMPLES.pop()


def test_a_short_training_writes_no_checkpoint(tiny_model: Path, tmp_path: Path) -> None:
    run = Run(tiny_model, tmp_path, **{**PLAIN, "checkpoint_seconds": 300})
    run.go()
    assert not (tmp_path / "kept").exists()


def test_a_checkpoint_is_written_every_so_often(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(after_step, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    steps: list[int] = []
    write = checkpoints.write

    def noted(place: Path, state: checkpoints.State, *, work: str) -> Path:
        steps.append(state.step)
        return write(place, state, work=work)

    monkeypatch.setattr(checkpoints, "write", noted)
    Run(tiny_model, tmp_path, **{**PLAIN, "checkpoint_seconds": 4}).go()
    gaps = {after - before for before, after in itertools.pairwise(steps)}
    assert steps and len(steps) < 8 and min(gaps) > 1
