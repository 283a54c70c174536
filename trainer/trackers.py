"""Experiment trackers that a round reports to: where they write, and what is missing. No torch.

Hugging Face's own callbacks do the talking. Here they are kept on this machine: whoever wants their
curves elsewhere says so in the tracker's environment variables, which win.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from feedback.errors import Invalid
from trainer.curve import Progress

FOLDER = "trackers"
PROJECT_NAME = "heed"


def place(data_dir: Path, round_id: str) -> Path:
    """Return the folder in which a round's trackers write; its name names the run."""
    return data_dir / FOLDER / round_id


def check(names: Sequence[str]) -> None:
    """Refuse a tracker that is not installed.

    Raises:
        Invalid: names it, and the command that installs it.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise Invalid(
            f"trainer.report_to names {' and '.join(missing)}, which this installation lacks. "
            f"Install it (`pip install {' '.join(missing)}`), or take it out of the setting.",
            param="report_to",
        )


def arguments(names: Sequence[str], run: Path | None) -> dict[str, Any]:
    """Return what `TrainingArguments` are told: nothing is reported unless a run has a place."""
    if run is None or not names:
        return {"report_to": "none"}
    return {"report_to": list(names), "run_name": run.name, "project": PROJECT_NAME}


@contextmanager
def staying_here(names: Sequence[str], run: Path | None) -> Iterator[None]:
    """Point trackers at a folder, and end what they opened when this ends.

    Where their environment variables say otherwise, those win.

    Args:
        names: of the trackers; with none, nothing changes.
        run: the run's folder; None changes nothing.
    """
    if run is None or not names:
        yield
        return
    local = {
        "TENSORBOARD_LOGGING_DIR": str(run),
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(run),
        "WANDB_PROJECT": PROJECT_NAME,
        "WANDB_SILENT": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{run.parent.absolute() / 'mlflow.db'}",
        "MLFLOW_EXPERIMENT_NAME": PROJECT_NAME,
        "TRACKIO_DIR": str(run.parent / "trackio"),
        # These report how they are used, or their own errors, unless told not to.
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "WANDB_ERROR_REPORTING": "false",
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    run.mkdir(parents=True, exist_ok=True)
    ours = {name: value for name, value in local.items() if name not in os.environ}
    os.environ.update(ours)
    failed = True
    try:
        yield
        failed = False
    finally:
        try:
            _end(names, failed=failed)
        finally:
            for name in ours:
                os.environ.pop(name, None)


def logs(step: Progress) -> dict[str, float]:
    """Return a step as the trackers are told it."""
    told = {
        "loss": step.loss,
        "learning_rate": step.learning_rate,
        "grad_norm": step.gradient_norm,
        "tokens": step.tokens,
        "seconds": step.seconds,
        **{f"loss/{kind}": loss for kind, loss in step.objectives.items()},
    }
    if step.dev_loss is not None:
        told["eval_loss"] = step.dev_loss
    return told


def _end(names: Sequence[str], *, failed: bool) -> None:
    """End the runs that Hugging Face's callbacks leave open: wandb's always, others where it failed.

    A round's process may end at once (`executors.warm`), and what was not written would be lost; one
    that trains again would go on with the same run.
    """
    loaded = {name: sys.modules[name] for name in names if sys.modules.get(name)}
    if "wandb" in loaded:
        loaded["wandb"].finish(exit_code=int(failed))
    if "mlflow" in loaded:
        loaded["mlflow"].end_run("FAILED" if failed else "FINISHED")
    if "trackio" in loaded:
        with suppress(RuntimeError):  # it has ended already
            loaded["trackio"].finish()
