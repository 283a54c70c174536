"""One training as a folder: a plan, the examples, the parent, and where the adapter goes.

What several processes that train together read, and what a launcher such as torchrun starts.
Knows no torch, no round and no database.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from feedback.errors import Invalid
from trainer.examples import Example, from_row
from trainer.settings import Plan

TASK, EXAMPLES, DEV = "task.json", "examples.jsonl", "dev.jsonl"


@dataclass(frozen=True)
class Task:
    """What `learner.train` is called with.

    Attributes:
        plan: the hyperparameters.
        base_folder: the base model.
        examples: what to learn, replay included.
        parent: PEFT folder of the adapter to continue, or None.
        out: folder that receives the adapter.
        dev: what the training is steered by and not trained on.
        checkpoints: where the first process writes down where it stands, and all go on from.
    """

    plan: Plan
    base_folder: Path
    examples: tuple[Example, ...]
    parent: Path | None
    out: Path
    dev: tuple[Example, ...] = ()
    checkpoints: Path | None = None


def write(folder: Path, task: Task) -> None:
    """Write a task into a folder, which is made for its owner's eyes only."""
    folder.mkdir(mode=0o700, parents=True)
    for name, examples in ((EXAMPLES, task.examples), (DEV, task.dev)):
        lines = (json.dumps(asdict(example)) for example in examples)
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / TASK).write_text(
        json.dumps(
            {
                "plan": task.plan.model_dump(mode="json"),
                "base_folder": str(task.base_folder.absolute()),
                "parent": None if task.parent is None else str(task.parent.absolute()),
                "out": str(task.out.absolute()),
                "checkpoints": (
                    None if task.checkpoints is None else str(task.checkpoints.absolute())
                ),
            },
            indent=1,
        ),
        encoding="utf-8",
    )


def read(folder: Path) -> Task:
    """Read a task.

    Relative paths in it are relative to its folder; `base_folder` may be left out, and the plan
    then says which base model it is.

    Raises:
        Invalid: the folder holds none, or one that cannot be used; says why.
    """
    try:
        said: dict[str, Any] = json.loads((folder / TASK).read_text(encoding="utf-8"))
        plan = Plan.model_validate(said.get("plan", {}))
        out = folder / said.get("out", "adapter")
        examples = _examples(folder / EXAMPLES)
        dev = _examples(folder / DEV) if (folder / DEV).is_file() else ()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
        raise Invalid(
            f"{folder} holds no training task that can be read: {error}. It needs {TASK} with a "
            f"plan, and {EXAMPLES} with one example a line."
        ) from error
    parent, checkpoints = said.get("parent"), said.get("checkpoints")
    return Task(
        plan=plan,
        base_folder=_base(folder, said.get("base_folder"), plan),
        examples=examples,
        parent=None if parent is None else folder / parent,
        out=out,
        dev=dev,
        checkpoints=None if checkpoints is None else folder / checkpoints,
    )


def _base(folder: Path, named: str | None, plan: Plan) -> Path:
    from trainer.base_folder import resolve

    return resolve(plan.base_model) if named is None else folder / named


def _examples(path: Path) -> tuple[Example, ...]:
    # Not splitlines(), which also breaks at characters that a JSON string may hold.
    lines = path.read_text(encoding="utf-8").split("\n")
    return tuple(from_row(json.loads(line)) for line in lines if line.strip())
