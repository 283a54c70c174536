"""Everything that the rest of a training depends on, as tensors and JSON, and back again.

Adapter, optimizer, scheduler, random numbers. Knows no file and no schedule.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trainer.rows import Row
from trainer.settings import Plan

# A checkpoint that another version wrote is not read.
FORMAT = 1


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    """What the optimizer trains, by name, also what is frozen at the moment."""
    trained = {id(each) for group in trainer.optimizer.param_groups for each in group["params"]}
    return {name: p for name, p in trainer.model.named_parameters() if id(p) in trained}


def copied(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as they are now."""
    return {name: each.detach().clone() for name, each in tensors.items()}


def put_back(trainer: Any, kept: Mapping[str, torch.Tensor]) -> None:
    """Give the model the weights that were copied."""
    with torch.no_grad():
        for name, weight in weights(trainer).items():
            weight.copy_(kept[name])


def capture(trainer: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and JSON values of a trainer between two steps."""
    tensors = {f"weight/{name}": each for name, each in weights(trainer).items()}
    optimizer = trainer.optimizer.state_dict()
    scalars: dict[str, dict[str, Any]] = {}
    for number, state in optimizer["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{number}/{name}"] = value
            else:
                scalars.setdefault(str(number), {})[name] = value
    kind, keys, *numpy_rest = np.random.get_state()
    tensors["random/torch"] = torch.get_rng_state()
    tensors["random/numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    if torch.cuda.is_available():
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    scheduler = {
        name: value
        for name, value in trainer.lr_scheduler.state_dict().items()
        if name != "lr_lambdas" and isinstance(value, int | float | list)
    }
    return tensors, {
        "optimizer": {"scalars": scalars, "groups": optimizer["param_groups"]},
        "scheduler": scheduler,
        "random": {"python": random.getstate(), "numpy": [kind, *map(_plain, numpy_rest)]},
    }


def restore(trainer: Any, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
    """Put a captured state into a trainer over the same model, before its first step."""
    put_back(trainer, _under("weight/", tensors))
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in _under("optimizer/", tensors).items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = tensor
    for number, scalars in values["optimizer"]["scalars"].items():
        state.setdefault(int(number), {}).update(scalars)
    groups = values["optimizer"]["groups"]
    trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
    functions = [None] * len(trainer.lr_scheduler.lr_lambdas)
    trainer.lr_scheduler.load_state_dict({**values["scheduler"], "lr_lambdas": functions})
    torch.set_rng_state(tensors["random/torch"])
    if torch.cuda.is_available() and "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"])
    kind, *numpy_rest = values["random"]["numpy"]
    np.random.set_state((kind, tensors["random/numpy"].numpy().astype(np.uint32), *numpy_rest))
    version, internal, gauss = values["random"]["python"]
    random.setstate((version, tuple(internal), gauss))


def fingerprint(
    plan: Plan, model: Any, schedule: Sequence[Sequence[Sequence[Row]]], dev: Sequence[Row]
) -> str:
    """Names a training by all that it starts from, so that no checkpoint of another is taken up.

    Args:
        plan: the hyperparameters.
        model: with its adapter as it starts, and the base model's config.
        schedule: the planned steps.
        dev: what the training is watched on.
    """
    whole = hashlib.sha256()
    about = [FORMAT, torch.__version__, plan.model_dump(mode="json"), model.config.to_dict()]
    whole.update(json.dumps(about, sort_keys=True, default=str).encode())
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            whole.update(f"\n{name} {tuple(weight.shape)}".encode())
            whole.update(weight.detach().float().cpu().numpy().tobytes())
    numbers: dict[int, int] = {}
    for step in (*schedule, [dev]):
        for batch in step:
            for row in batch:
                if id(row) not in numbers:
                    numbers[id(row)] = len(numbers)
                    told = [row.kind, row.prompt, row.branches, row.weight, row.liked]
                    whole.update(json.dumps(told).encode())
        whole.update(json.dumps([[numbers[id(row)] for row in batch] for batch in step]).encode())
    return whole.hexdigest()


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
