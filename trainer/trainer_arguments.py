"""The plan in the words of TRL's `SFTConfig`, with everything switched off that a round does itself.

Knows no model.
"""

import math
from pathlib import Path

import torch
from trl import SFTConfig

from trainer import schedules, trackers
from trainer.settings import Plan


def sft_config(plan: Plan, *, steps: int, scratch: str, tracked: Path | None) -> SFTConfig:
    """Return the Trainer's arguments.

    Args:
        plan: the hyperparameters.
        steps: planned optimizer steps.
        scratch: a folder for what the Trainer insists to write.
        tracked: folder of this run for trackers, or None for no report to any.
    """
    args = SFTConfig(
        output_dir=scratch,
        seed=plan.seed,
        learning_rate=plan.learning_rate,
        **schedules.arguments(plan),
        warmup_steps=math.ceil(plan.warmup_share * steps),
        weight_decay=plan.weight_decay,
        max_grad_norm=plan.max_grad_norm,
        num_train_epochs=1,  # the schedule holds all epochs
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        activation_checkpointing=False,
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        logging_strategy="no",
        save_strategy="no",
        **trackers.arguments(plan.report_to, tracked),
        disable_tqdm=True,
    )
    if args.n_gpu > 1:
        # TRL refuses nn.DataParallel; one GPU trains, the one of `base_model.device`.
        args._n_gpu = 1
    return args
