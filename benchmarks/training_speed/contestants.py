"""The contestants of a round: Heed cold, TRL's three trainers one after the other, LLaMA-Factory's.

All learn from the same rows, pass over them as often, and take as many optimizer steps in all.
"""

import functools
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.training_speed import llamafactory, material, processes
from benchmarks.training_speed.processes import Ran
from trainer import packing, rows, task
from trainer.examples import Example, Kind
from trainer.objectives import objective_weights
from trainer.settings import Plan

BATCH = 8
"""Examples in a step of TRL and LLaMA-Factory: what they take where nothing is said."""
_MORE_STEPS = 1.1
KINDS: tuple[Kind, ...] = ("demonstration", "preference", "verdict")


@dataclass(frozen=True)
class Race:
    """What is learned from, by whom, and where everything lies.

    Attributes:
        base: the base model.
        folder: holds the rows as each contestant reads them.
        examples: the rows.
        plan: Heed's.
        preference_rate: share of the learning rate at which TRL's DPO and KTO learn.
        on_gpu: whether they may see a GPU.
    """

    base: Path
    folder: Path
    examples: tuple[Example, ...]
    plan: Plan
    preference_rate: float = 1.0
    on_gpu: bool = False

    @property
    def steps(self) -> int:
        """Optimizer steps of the three trainers together."""
        counts = [len(material.of_kind(self.examples, kind)) for kind in KINDS]
        # Rounded as the Trainer rounds a number of passes that is no whole one.
        return sum(
            math.ceil(math.ceil(count / BATCH) * self.plan.epochs) for count in counts if count
        )


def prepare(race: Race) -> Race:
    """Write everybody's files; returns the race with the step size that gives Heed as many steps."""
    race.folder.mkdir(parents=True)
    plan = race.plan.model_copy(update={"batch_tokens": _step_size(race)})
    for kind in KINDS:
        lines = [material.for_trl(each) for each in material.of_kind(race.examples, kind)]
        material.write_lines(race.folder / f"{kind}.jsonl", lines)
    llamafactory.write_data(race.folder / "llamafactory", race.examples)
    ready = replace(race, plan=plan)
    task.write(race.folder / "task", _task(ready, race.folder / "ours"))
    return ready


def ours(race: Race) -> Ran:
    """One round, cold: the product's own command for a training without a database."""
    command = processes.python("-m", "trainer", "train", race.folder / "task")
    return processes.run(command, _environment(race), race.folder / "ours.log")


def trl(race: Race, *, grouped: bool = False) -> Ran:
    """SFT, DPO and KTO, each in a process of its own that goes on from the adapter before.

    Raises:
        RuntimeError: one failed, or they took another number of steps than was meant.
    """
    name = "trl-grouped" if grouped else "trl"
    parent: Path | None = None
    stages = []
    for kind in KINDS:
        stages.append(_trl(race, kind, parent, name, grouped=grouped))
        parent = race.folder / f"{name}-{kind}"
    steps = sum(json.loads(ran.said)["steps"] for ran in stages)
    if steps != race.steps:
        raise RuntimeError(f"TRL took {steps} steps, and {race.steps} were meant")
    return functools.reduce(Ran.then, stages)


def first_step_of_trl(race: Race) -> Ran:
    """The first of TRL's scripts, which ends after its first step."""
    return _trl(race, "demonstration", None, "trl-start", grouped=False, one_step=True)


def factory(race: Race, python: Path) -> Ran:
    """The same three stages by LLaMA-Factory's own command, in its own environment."""
    parent: Path | None = None
    stages = []
    environment = _environment(race)
    environment.pop("PYTHONPATH", None)  # another Python with other packages
    for kind in KINDS:
        out = race.folder / f"llamafactory-{kind}"
        config = llamafactory.config(
            kind, race.plan, base=race.base, data=race.folder / "llamafactory", parent=parent,
            out=out, batch=BATCH,
        )  # fmt: skip
        asked = race.folder / f"llamafactory-{kind}.yaml"
        asked.write_text(json.dumps(config))
        command = [str(python), "-m", "llamafactory.cli", "train", str(asked)]
        stages.append(processes.run(command, environment, race.folder / "llamafactory.log"))
        parent = out
    return functools.reduce(Ran.then, stages)


def adapters(race: Race) -> dict[str, Path]:
    """Where each contestant's adapter lies after it ran."""
    return {"ours": race.folder / "ours", "trl": race.folder / f"trl-{KINDS[-1]}"}


def _task(race: Race, out: Path) -> task.Task:
    return task.Task(race.plan, race.base, race.examples, parent=None, out=out)


def _environment(race: Race) -> dict[str, str]:
    hidden = {} if race.on_gpu else {"CUDA_VISIBLE_DEVICES": ""}
    return processes.environment(race.plan.threads or 1, **hidden)


def _trl(
    race: Race,
    kind: Kind,
    parent: Path | None,
    name: str,
    *,
    grouped: bool,
    one_step: bool = False,
) -> Ran:
    """One of TRL's trainers."""
    said = _asked(race, kind, parent, race.folder / f"{name}-{kind}")
    said |= {"grouped": grouped, "compact": grouped, "one_step": one_step}
    asked = race.folder / f"{name}-{kind}.json"
    asked.write_text(json.dumps(said))
    command = processes.python("-m", "benchmarks.training_speed.trl_script", asked)
    return processes.run(command, _environment(race), race.folder / f"{name}.log")


def _asked(race: Race, kind: Kind, parent: Path | None, out: Path) -> dict[str, Any]:
    plan = race.plan
    slower = 1.0 if kind == "demonstration" else race.preference_rate
    return {
        "kind": kind,
        "base": str(race.base),
        "rows": str(race.folder / f"{kind}.jsonl"),
        "parent": parent and str(parent),
        "out": str(out),
        "threads": plan.threads,
        "rank": plan.rank,
        "alpha": plan.alpha,
        "epochs": plan.epochs,
        "learning_rate": plan.learning_rate * slower,
        "seed": plan.seed,
        "batch": BATCH,
    }


def _step_size(race: Race) -> int:
    """The tokens of a step at which Heed takes as many steps as the others together."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(race.base))
    encoder = rows.Encoder(tokenizer, frozenset({tokenizer.eos_token_id}))
    encoded, left_out = rows.build(
        race.examples,
        encoder,
        context_tokens=material.CONTEXT_TOKENS,
        objective_weights=objective_weights(race.plan),
    )
    if left_out != rows.LeftOut():
        raise RuntimeError(f"Some rows cannot be learned: {left_out}")

    def steps(budget_tokens: int) -> int:
        plan = race.plan.model_copy(update={"batch_tokens": budget_tokens})
        return len(packing.schedule(plan, encoded))

    tried: dict[int, int] = {}
    low, high = max(row.tokens for row in encoded), sum(row.tokens for row in encoded)
    while low < high:  # the largest step that is not too large
        middle = (low + high + 1) // 2
        tried[middle] = steps(middle)
        low, high = (middle, high) if tried[middle] >= race.steps else (low, middle - 1)
    enough = {budget: count for budget, count in tried.items() if count >= race.steps}
    # Padding makes the number of steps jump here and there; whoever takes more has more to do.
    best = min(enough, key=lambda budget: enough[budget], default=0)
    if not best or enough[best] > _MORE_STEPS * race.steps:
        raise RuntimeError(f"No size of a step gives {race.steps} steps: {tried}")
    return best
