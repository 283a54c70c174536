"""The same rows and the same training in the words of LLaMA-Factory. Knows no process.

It lives in an environment of its own, since it wants older versions of TRL and transformers.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.training_speed import material
from trainer.examples import Example, Kind
from trainer.settings import Plan

_STAGES: dict[Kind, str] = {"demonstration": "sft", "preference": "dpo", "verdict": "kto"}


def write_data(folder: Path, examples: Sequence[Example]) -> None:
    """Its data folder: a file for each objective, and what is in them."""
    folder.mkdir()
    known: dict[str, Any] = {}
    for kind in _STAGES:
        material.write_lines(
            folder / f"{kind}.jsonl", [_row(each) for each in material.of_kind(examples, kind)]
        )
        columns = {"prompt": "asked", "response": "answer"}
        if kind == "preference":
            columns = {"prompt": "asked", "chosen": "answer", "rejected": "rejected"}
        elif kind == "verdict":
            columns |= {"kto_tag": "liked"}
        known[kind] = {
            "file_name": f"{kind}.jsonl",
            "columns": columns,
            **({"ranking": True} if kind == "preference" else {}),
        }
    (folder / "dataset_info.json").write_text(json.dumps(known))


def config(
    kind: Kind, plan: Plan, *, base: Path, data: Path, parent: Path | None, out: Path, batch: int
) -> dict[str, Any]:
    """What its `train` command is given for one objective: fp32, no checkpointing of activations."""
    return {
        "stage": _STAGES[kind],
        "do_train": True,
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_rank": plan.rank,
        "lora_alpha": plan.alpha,
        "lora_dropout": 0.0,
        "model_name_or_path": str(base),
        **({"adapter_name_or_path": str(parent)} if parent else {}),
        "template": "chatml",
        "dataset": kind,
        "dataset_dir": str(data),
        "cutoff_len": material.CONTEXT_TOKENS,
        "overwrite_cache": True,
        "output_dir": str(out),
        "overwrite_output_dir": True,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": plan.epochs,
        "learning_rate": plan.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.05,
        "pref_beta": plan.beta,
        **({"pref_ftx": 1.0} if kind == "preference" else {}),
        "disable_gradient_checkpointing": True,
        "use_cpu": True,
        "bf16": False,
        "fp16": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": plan.seed,
    }


def _row(example: Example) -> dict[str, Any]:
    row: dict[str, Any] = {"asked": example.messages[-1]["content"], "answer": example.target}
    if example.kind == "preference":
        row["rejected"] = example.rejected
    if example.kind == "verdict":
        row["liked"] = bool(example.liked)
    return row
