"""What a user of TRL would run for one objective: ``python -m … TASK.json``. Knows nothing of Heed.

The task says which objective, the rows, the base model, the adapter to go on from, and where the new
one goes. It prints a line when the first step is done, when the last is, and at its end.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer


class _Told(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
    """Says when the first step and the last are done, and stops there if one is all that is asked."""

    def __init__(self, *, one_step: bool) -> None:
        self._one_step = one_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step in (1, state.max_steps):
            print(f"{state.global_step}/{state.max_steps}", flush=True)
        if state.global_step == 1:
            control.should_training_stop = self._one_step


def main(asked: dict[str, Any]) -> None:
    """Train as asked."""
    torch.set_num_threads(asked["threads"])
    if asked["compact"]:  # score labelled positions only, as TRL does where there is Triton
        import trl.trainer.utils

        trl.trainer.utils._use_triton = lambda device: True
    on_gpu = torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(asked["base"])
    dtype = torch.bfloat16 if on_gpu else torch.float32
    model = AutoModelForCausalLM.from_pretrained(asked["base"], dtype=dtype)
    if asked["parent"]:
        model = PeftModel.from_pretrained(model, asked["parent"], is_trainable=True)
    else:
        lora = LoraConfig(
            r=asked["rank"],
            lora_alpha=asked["alpha"],
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(model, lora)
    rows = [json.loads(line) for line in Path(asked["rows"]).read_text().splitlines()]
    known: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "demonstration": (
            SFTTrainer,
            SFTConfig,
            {"train_sampling_strategy": "group_by_length"} if asked["grouped"] else {},
        ),
        # As in a round: the preferred answer's likelihood beside the margin.
        "preference": (DPOTrainer, DPOConfig, {"beta": 0.1, "loss_type": ["sigmoid", "sft"]}),
        "verdict": (KTOTrainer, KTOConfig, {"beta": 0.1, "train_sampling_strategy": "sequential"}),
    }
    trainer_class, config_class, extra = known[asked["kind"]]
    trainer = trainer_class(
        model=model,
        args=config_class(
            output_dir=asked["out"] + ".scratch",
            per_device_train_batch_size=asked["batch"],
            num_train_epochs=asked["epochs"],
            learning_rate=asked["learning_rate"],
            warmup_steps=0.05,
            lr_scheduler_type="cosine",
            max_length=None,
            bf16=on_gpu,
            use_cpu=not on_gpu,
            gradient_checkpointing=False,
            activation_checkpointing=False,
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
            disable_tqdm=True,
            seed=asked["seed"],
            **extra,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[_Told(one_step=asked["one_step"])],
    )
    trainer.train()
    trainer.save_model(asked["out"])
    print(json.dumps({"steps": trainer.state.global_step}), flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
