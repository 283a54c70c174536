"""One mixed round with Heed's learner beside three plain TRL trainers, on the same rows.

    python -m benchmarks.round_vs_trl [--rows 400] [--base FOLDER] [--threads 2] [--json]

Every contestant runs in a fresh process, so that imports count; they alternate, and the median is
reported. TRL runs SFT, DPO and KTO one after the other on one adapter, in fp32 and without
checkpointing (its defaults are slower on a CPU), with the padding-saving order where it allows
one, and takes as many optimizer steps in each as Heed takes in all. Without --base, a random model
of about 2.5M parameters stands in: speed is measured, and how well each fits its rows, not what
people would say.
"""

import argparse
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trainer import hardware
from trainer.examples import Example, Message
from trainer.settings import Plan

THINGS = [
    "lamp",
    "kettle",
    "printer",
    "bicycle",
    "tent",
    "camera",
    "radio",
    "jacket",
    "bottle",
    "ladder",
]
TRAITS = [
    "price",
    "colour",
    "weight",
    "size",
    "warranty",
    "maker",
    "material",
    "age",
    "delivery",
    "shelf",
]
SHARES = {"demonstration": 0.7, "preference": 0.15, "verdict": 0.15}


def examples(count: int) -> list[Example]:
    """Questions about things, answered; the same for everybody."""
    rng = random.Random(0)
    found = []
    for number in range(count):
        thing, trait = rng.choice(THINGS), rng.choice(TRAITS)
        asked = f"Could you tell me the {trait} of the {thing} number {rng.randrange(50)}?"
        messages = (Message(role="user", content=asked),)
        answer = f"The {trait} of that {thing} is {rng.randrange(100)} as far as I know."
        other = f"I do not know the {trait}."
        share = number / count
        if share < SHARES["demonstration"]:
            found.append(Example("demonstration", messages, answer))
        elif share < SHARES["demonstration"] + SHARES["preference"]:
            found.append(Example("preference", messages, answer, rejected=other))
        else:
            liked = number % 2 == 0
            found.append(Example("verdict", messages, answer if liked else other, liked=liked))
    return found


def plan(threads: int) -> Plan:
    """What both are given; TRL's trainers know no weight between objectives, so all weigh 1."""
    return Plan(
        base_model="benchmark",
        minimum_steps=0,
        threads=threads,
        learning_rate=2e-3,
        preference_weight=1.0,
        verdict_weight=1.0,
    )


def ours(base: Path, rows: list[Example], out: Path, threads: int) -> dict[str, float]:
    """Heed's learner, all objectives at once."""
    from trainer.learner import train

    done = train(plan(threads), base, rows, parent=None, out=out, report=lambda _: None)
    return {"steps": float(done.steps), "tokens": float(done.tokens), **done.stages}


def trl(base: Path, rows: list[Example], out: Path, threads: int) -> dict[str, float]:
    """SFT, DPO and KTO, each by TRL's own trainer, on one adapter."""
    started = time.perf_counter()
    hardware.calm_threads()
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    imported = time.perf_counter()
    settings = plan(threads)
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    model = get_peft_model(
        model,
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    steps = int(os.environ["HEED_BENCH_STEPS"])
    taken = 0
    for kind, trainer_class, config_class in (
        ("demonstration", SFTTrainer, SFTConfig),
        ("preference", DPOTrainer, DPOConfig),
        ("verdict", KTOTrainer, KTOConfig),
    ):
        mine = [row for row in rows if row.kind == kind]
        columns: dict[str, list[Any]] = {"prompt": [list(row.messages) for row in mine]}
        said = [[{"role": "assistant", "content": row.target}] for row in mine]
        extra: dict[str, Any] = {}
        if kind == "preference":
            columns["chosen"] = said
            columns["rejected"] = [[{"role": "assistant", "content": row.rejected}] for row in mine]
            extra = {"loss_type": ["sigmoid", "sft"], "beta": settings.beta}
        elif kind == "verdict":
            columns |= {"completion": said, "label": [row.liked for row in mine]}
            extra = {"train_sampling_strategy": "sequential", "beta": settings.beta}
        else:
            columns["completion"] = said
            extra = {"train_sampling_strategy": "group_by_length"}
        trainer: Any = trainer_class(
            model=model,
            args=config_class(
                output_dir=str(out / "scratch"),
                per_device_train_batch_size=max(2, math.ceil(len(mine) * settings.epochs / steps)),
                num_train_epochs=settings.epochs,
                learning_rate=settings.learning_rate,
                warmup_steps=settings.warmup_share,
                lr_scheduler_type=settings.lr_schedule,
                max_grad_norm=settings.max_grad_norm,
                bf16=False,
                use_cpu=True,
                activation_checkpointing=False,
                report_to="none",
                logging_strategy="no",
                save_strategy="no",
                disable_tqdm=True,
                **extra,
            ),
            train_dataset=Dataset.from_dict(columns),
            processing_class=tokenizer,
        )
        trainer.train()
        taken += trainer.state.global_step
        model = trainer.model
        if "ref" in model.peft_config:
            model.delete_adapter("ref")
    from trainer import adapter_folder

    adapter_folder.write(model, out, base_model="benchmark")
    return {"steps": float(taken), "import": imported - started}


def fit(base: Path, rows: list[Example], out: Path, threads: int) -> dict[str, float]:
    """How well an adapter fits the rows: likelihoods in nats per token, preferences won."""
    from trainer.policy import Policy

    policy = Policy.load(base, threads=threads)
    policy.attach("it", out)

    def likelihood(pairs: list[tuple[tuple[Message, ...], str]]) -> list[float]:
        return policy.log_likelihood(pairs, adapter="it")

    shown = likelihood([(r.messages, r.target) for r in rows if r.kind == "demonstration"])
    pairs = [r for r in rows if r.kind == "preference"]
    better = likelihood([(r.messages, r.target) for r in pairs])
    worse = likelihood([(r.messages, r.rejected or "") for r in pairs])
    liked = likelihood([(r.messages, r.target) for r in rows if r.liked is True])
    disliked = likelihood([(r.messages, r.target) for r in rows if r.liked is False])
    return {
        "demonstrations": statistics.fmean(shown),
        "preferences won": statistics.fmean(
            float(a > b) for a, b in zip(better, worse, strict=True)
        ),
        "liked - disliked": statistics.fmean(liked) - statistics.fmean(disliked),
    }


def stand_in(folder: Path) -> None:
    """A random Llama of about 2.5M parameters with a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    text = [f"{r.messages[0]['content']} {r.target} {r.rejected}" for r in examples(400)]
    special = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
    bpe.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=1024,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|end|>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def run(task: str, base: Path, count: int, out: Path, threads: int) -> dict[str, float]:
    """One contestant in a process of its own; its figures, with time and memory from outside."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.round_vs_trl", "--task", task]
    command += ["--base", str(base), "--rows", str(count), "--out", str(out)]
    told = subprocess.run(
        [*command, "--threads", str(threads)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=None if "HEED_BENCH_LOUD" in os.environ else subprocess.DEVNULL,
    ).stdout
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return {"wall_s": wall, "cpu_s": cpu, **found}


def main() -> None:
    """Compare, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--base", type=Path)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--task", choices=["ours", "trl", "fit", "make"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task == "make":
        stand_in(given.base)
        print("{}")
        return
    if given.task:
        work = {"ours": ours, "trl": trl, "fit": fit}[given.task]
        found = work(given.base, examples(given.rows), given.out, given.threads)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "peak_mb": peak}))
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = given.base
        if base is None:
            base = Path(scratch) / "base"
            run("make", base, given.rows, base, given.threads)
        results: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
        for number in range(given.times):
            for name, gathered in results.items():
                out = Path(scratch) / f"{name}{number}"
                gathered.append(run(name, base, given.rows, out, given.threads))
                os.environ["HEED_BENCH_STEPS"] = str(int(results["ours"][0]["steps"]))
        fits = {
            name: run("fit", base, given.rows, Path(scratch) / f"{name}0", given.threads)
            for name in results
        }
    medians = {
        name: {key: statistics.median(r[key] for r in rs) for key in rs[0]}
        for name, rs in results.items()
    }
    ratios = {
        key: medians["trl"][key] / medians["ours"][key] for key in ("wall_s", "cpu_s", "peak_mb")
    }
    report = {"rows": given.rows, "threads": given.threads, "times": given.times, **medians}
    report |= {"trl / ours": ratios, "fit": fits}
    if given.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{given.rows} rows, {given.threads} threads, median of {given.times}")
    for name, figures in [*medians.items(), ("trl / ours", ratios)]:
        print(f"{name:>12}  " + "  ".join(f"{k} {v:.2f}" for k, v in figures.items()))
    for name, figures in fits.items():
        kept = {k: v for k, v in figures.items() if not k.endswith(("_s", "_mb"))}
        print(f"{name + ' fits':>12}  " + "  ".join(f"{k} {v:.3f}" for k, v in kept.items()))


if __name__ == "__main__":
    main()
