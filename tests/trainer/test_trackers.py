"""Trackers are told each step, write below the round's folder, and send nothing anywhere unasked."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from feedback.errors import Invalid
from feedback.store import Store
from tests.trainer.rounds import demonstration
from tests.trainer.shop import promoted, say
from tests.trainer.test_learner import plan
from trainer import trackers
from trainer.learner import Cancelled, Trained, train

DEV = [demonstration("What colour is the sea?", "It is green or blue.")]


def reported(
    model: Path,
    folder: Path,
    names: list[str],
    *,
    tracked: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trained:
    return train(
        plan(epochs=4, report_to=names, keep_best=True, dev_every_steps=2),
        model,
        [demonstration("What colour is the sky?", "It is green.")],
        parent=None,
        out=folder / "out",
        report=lambda _: None,
        dev=DEV,
        tracked=folder / "trackers" / "rnd_1" if tracked else None,
        should_stop=should_stop,
    )


class Told(TrainerCallback):  # type: ignore[misc]
    """A tracker that keeps what it is told, where it would write, and how its runs were ended."""

    logs: list[dict[str, float]]
    surroundings: dict[str, str | None]
    run: tuple[str, str]
    ended: list[Any]

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        names = ("WANDB_MODE", "WANDB_DIR", "MLFLOW_TRACKING_URI", "TRACKIO_DIR")
        type(self).surroundings = {name: os.environ.get(name) for name in names}
        type(self).run = (args.project, args.run_name)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        type(self).logs.append({**logs, "step": state.global_step})

    @classmethod
    def finish(cls, exit_code: int) -> None:
        """wandb's verb."""
        cls.ended.append((exit_code, len(cls.logs), os.environ["WANDB_MODE"]))

    @classmethod
    def end_run(cls, status: str) -> None:
        """mlflow's."""
        cls.ended.append(status)


def stands_in(name: str, monkeypatch: pytest.MonkeyPatch, **verbs: object) -> None:
    """Have the Trainer take `Told` for a tracker with these functions."""
    stand_in = ModuleType(name)
    stand_in.__spec__ = importlib.util.spec_from_loader(name, loader=None)
    vars(stand_in).update(verbs)
    monkeypatch.setitem(sys.modules, name, stand_in)
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, name, Told)
    Told.logs, Told.surroundings, Told.ended = [], {}, []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Told]]:
    """wandb, as far as the Trainer can tell."""
    stands_in("wandb", monkeypatch, finish=Told.finish)
    yield Told


def test_a_tracker_is_told_every_step_and_kept_on_this_machine(
    tiny_model: Path, tmp_path: Path, told: type[Told]
) -> None:
    done = reported(tiny_model, tmp_path, ["wandb"])
    steps = [each for each in told.logs if "loss" in each]
    assert [each["step"] for each in steps] == [1, 2, 3, 4]
    assert [each["loss"] for each in steps] == list(done.losses)
    assert [each["loss/demonstration"] for each in steps] == list(done.losses)
    assert all(each["grad_norm"] > 0 and each["learning_rate"] > 0 for each in steps)
    assert [each.get("eval_loss") for each in steps] == [step.dev_loss for step in done.curve]
    assert told.run == ("heed", "rnd_1")
    folder = tmp_path / "trackers"
    assert told.surroundings == {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder / "rnd_1"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "TRACKIO_DIR": str(folder / "trackio"),
    }
    assert "WANDB_MODE" not in os.environ


def test_a_run_is_ended_with_the_training_however_that_went(
    tiny_model: Path, tmp_path: Path, told: type[Told]
) -> None:
    """What a tracker holds back until then is lost where the process ends by `os._exit`."""
    done = reported(tiny_model, tmp_path, ["wandb"])
    [(code, logged, mode)] = told.ended
    assert (code, mode) == (0, "offline")
    assert logged >= done.steps
    told.ended.clear()
    with pytest.raises(Cancelled):
        reported(tiny_model, tmp_path, ["wandb"], should_stop=lambda: len(told.logs) > logged + 1)
    [(code, *_)] = told.ended
    assert code == 1


@pytest.mark.parametrize(("stopped", "status"), [(False, "FINISHED"), (True, "FAILED")])
def test_mlflow_is_told_how_it_ended(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stopped: bool,
    status: str,
) -> None:
    stands_in("mlflow", monkeypatch, end_run=Told.end_run)
    with pytest.raises(Cancelled) if stopped else nullcontext():
        reported(tiny_model, tmp_path, ["mlflow"], should_stop=lambda: stopped and bool(Told.logs))
    assert Told.ended == [status]


def test_trackio_may_have_ended_its_run_itself(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish() -> None:
        Told.ended.append("finish")
        raise RuntimeError("Call trackio.init() before trackio.finish().")

    stands_in("trackio", monkeypatch, finish=finish)
    reported(tiny_model, tmp_path, ["trackio"])
    assert Told.ended == ["finish"]


def test_a_round_of_feedback_is_told_to_its_trackers(
    store: Store, tiny_model: Path, told: type[Told]
) -> None:
    say(store, "ana", "Is it open?", "It is open.", rating="up")
    row = promoted(store, tiny_model, report_to=["wandb"])
    folder = trackers.place(store.settings.data_dir, row.id)
    assert told.run == ("heed", row.id)
    assert told.surroundings["WANDB_DIR"] == str(folder)
    assert next(each["step"] for each in told.logs if "loss" in each) == 1
    assert len(told.ended) == 1


def test_who_asks_for_a_server_gets_it(
    tiny_model: Path, tmp_path: Path, told: type[Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    reported(tiny_model, tmp_path, ["wandb"])
    assert told.surroundings["WANDB_MODE"] == os.environ["WANDB_MODE"] == "online"


def test_reporting_changes_no_weight(tiny_model: Path, tmp_path: Path, told: type[Told]) -> None:
    reported(tiny_model, tmp_path / "told", ["wandb"])
    reported(tiny_model, tmp_path / "silent", [])
    weights = [
        (tmp_path / name / "out" / "adapter_model.safetensors").read_bytes()
        for name in ("told", "silent")
    ]
    assert weights[0] == weights[1]
    assert not (tmp_path / "silent" / "trackers").exists()


def test_without_a_place_for_the_run_nothing_is_reported(
    tiny_model: Path, tmp_path: Path, told: type[Told]
) -> None:
    reported(tiny_model, tmp_path, ["wandb"], tracked=False)
    assert told.logs == []


def test_a_tracker_that_is_not_installed_is_refused_with_what_to_install(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Invalid, match="pip install mlflow trackio") as raised:
        trackers.check(["mlflow", "trackio"])
    assert raised.value.param == "report_to"
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(Invalid, match="pip install mlflow"):
        reported(tiny_model, tmp_path, ["mlflow"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own
def test_tensorboard_can_show_the_losses(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = reported(tiny_model, tmp_path, ["tensorboard"])
    events = EventAccumulator(str(tmp_path / "trackers" / "rnd_1"))
    events.Reload()
    assert [each.step for each in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [each.value for each in events.Scalars("train/loss")] == pytest.approx(done.losses)
    assert [each.step for each in events.Scalars("eval/loss")] == [2, 4]
