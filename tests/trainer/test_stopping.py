"""Training is watched on dev: it stops early, and ends with its best weights."""

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.rounds import ask, demonstration
from tests.trainer.test_learner import plan
from trainer.curve import Progress
from trainer.examples import Example
from trainer.learner import Trained, train
from trainer.policy import Policy
from trainer.stopping import Watch

LEARNED = [demonstration("What colour is the sky?", "It is green.")]
# At first what is learned helps here too; later it is learned by heart and only hurts.
DEV = [demonstration("What colour is the sea?", "It is green or blue.")]


def watched(
    model: Path, out: Path, *, dev: list[Example] | None = None, **changes: Any
) -> tuple[Trained, list[Progress]]:
    reports: list[Progress] = []
    done = train(
        plan(**{"epochs": 40, "dev_every_steps": 2, **changes}),
        model,
        LEARNED,
        parent=None,
        out=out,
        report=reports.append,
        dev=DEV if dev is None else dev,
    )
    return done, reports


def dev_loss(model: Path, adapter: Path) -> float:
    """As somebody else would measure it."""
    policy = Policy.load(model, threads=1)
    policy.attach("adp_a", adapter)
    [total] = policy.log_likelihood([(DEV[0].messages, DEV[0].target)], adapter="adp_a")
    return -total


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def test_patience_runs_out_after_so_many_looks_without_a_new_best() -> None:
    watch = Watch(2)
    stopped = []
    for step, loss in enumerate((3.0, 2.0, 2.1, 1.9, 1.95, 1.9), start=1):
        watch.look(step, loss)
        stopped.append(watch.stop)
    assert stopped == [False, False, False, False, False, True]
    assert (watch.best_loss, watch.best_step) == (1.9, 4)


def test_stops_early_and_says_so(tiny_model: Path, tmp_path: Path) -> None:
    done, reports = watched(tiny_model, tmp_path / "a", early_stopping_patience=2)
    looks = {step.step: step.dev_loss for step in done.curve if step.dev_loss is not None}
    best = min(looks, key=lambda step: looks[step] or 0.0)
    assert best + 4 == done.steps < 40
    assert list(looks) == list(range(2, done.steps + 1, 2))
    assert reports == list(done.curve)
    assert any(f"Stopped early after step {done.steps} of 40" in note for note in done.notes)


def test_ends_with_the_best_weights_instead_of_the_last(tiny_model: Path, tmp_path: Path) -> None:
    best, _ = watched(tiny_model, tmp_path / "best", keep_best=True)
    looks = [step.dev_loss for step in best.curve if step.dev_loss is not None]
    assert looks[-1] > 1.02 * min(looks)
    measured = dev_loss(tiny_model, tmp_path / "best")
    last, _ = watched(tiny_model, tmp_path / "last", early_stopping_patience=99)
    assert measured < dev_loss(tiny_model, tmp_path / "last")
    assert measured / dev_loss(tiny_model, tmp_path / "last") == pytest.approx(
        min(looks) / looks[-1], rel=1e-3
    )
    assert last.losses == best.losses


def test_watching_alone_changes_no_weight(tiny_model: Path, tmp_path: Path) -> None:
    watched(tiny_model, tmp_path / "watched", early_stopping_patience=99, dropout=0.1, epochs=8)
    watched(tiny_model, tmp_path / "alone", dev=[], dropout=0.1, epochs=8)
    assert weights(tmp_path / "watched") == weights(tmp_path / "alone")


def test_the_dev_loss_is_that_of_every_objective_on_any_number_of_lanes(
    tiny_model: Path, tmp_path: Path
) -> None:
    dev = [
        *DEV,
        Example("preference", ask("Who?"), "Ana.", rejected="I do not know."),
        Example("verdict", ask("Where?"), "There.", liked=False),
        Example("verdict", ask("How many?"), "Seven apples.", liked=True),
    ]
    common: dict[str, Any] = {"dev": dev, "epochs": 6, "keep_best": True, "batch_tokens": 60}
    one, _ = watched(tiny_model, tmp_path / "1", threads=1, **common)
    two, _ = watched(tiny_model, tmp_path / "2", threads=2, **common)
    losses = [step.dev_loss for step in one.curve]
    assert losses == [step.dev_loss for step in two.curve]
    without, _ = watched(
        tiny_model, tmp_path / "3", preference_weight=0, verdict_weight=0, **common
    )
    assert losses[1] != without.curve[1].dev_loss


def test_without_dev_the_settings_do_nothing_and_the_notes_say_so(
    tiny_model: Path, tmp_path: Path
) -> None:
    plain, _ = watched(tiny_model, tmp_path / "plain", dev=[], epochs=5)
    done, _ = watched(
        tiny_model, tmp_path / "a", dev=[], epochs=5, keep_best=True, early_stopping_patience=1
    )
    assert weights(tmp_path / "plain") == weights(tmp_path / "a")
    assert plain.notes == ()
    assert any("nothing to watch" in note for note in done.notes)


def test_dev_that_nothing_looks_at_costs_nothing(tiny_model: Path, tmp_path: Path) -> None:
    done, _ = watched(tiny_model, tmp_path / "a", epochs=5)
    assert all(step.dev_loss is None for step in done.curve)
