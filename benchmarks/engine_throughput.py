"""The local engine beside transformers' ``generate``, in one run on one model.

Four rows: one chat alone and sixteen at once, each through the engine and through sequential
``generate`` on the same weights, plus thirty-two through the engine. Half of the chats go through an
adapter, half through the base model. Every answer has the same number of tokens, and end tokens are
switched off on both sides, so that both do the same work.

    python -m benchmarks.engine_throughput [--base-model starter] [--tokens 48] [--json]

Without a base model that can be had, a random one of the starter's size is built.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from feedback.errors import Invalid
from serving.engines.base import BASE, GenerationRequest, Prompt, Sampling
from serving.engines.local import LocalEngine
from trainer import base_folder

ADAPTER = "adp_bench"


@dataclass(frozen=True)
class Line:
    """One measurement, the best of its repetitions."""

    way: str
    chats: int
    seconds: float
    tokens_per_second: float
    first_token_ms: float | None


async def through_engine(engine: LocalEngine, prompts: list[Prompt], tokens: int) -> Line:
    """All chats at once."""
    begun, first = time.perf_counter(), []

    async def one(at: int, prompt: Prompt) -> int:
        adapter = ADAPTER if at % 2 else BASE
        request = GenerationRequest(str(at), prompt, adapter, Sampling(max_tokens=tokens))
        made = 0
        async for chunk in engine.generate(request):
            if not made:
                first.append(time.perf_counter() - begun)
            made = chunk.completion_tokens
        return made

    made = sum(await asyncio.gather(*(one(at, prompt) for at, prompt in enumerate(prompts))))
    seconds = time.perf_counter() - begun
    return Line("engine", len(prompts), seconds, made / seconds, 1e3 * sum(first) / len(first))


def through_generate(models: list[Any], prompts: list[Prompt], tokens: int) -> Line:
    """One chat after the other, `models` in turn."""
    import torch

    begun = time.perf_counter()
    with torch.inference_mode():
        for at, prompt in enumerate(prompts):
            ids = torch.tensor([prompt.token_ids])
            models[at % 2].generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
    seconds = time.perf_counter() - begun
    return Line("generate", len(prompts), seconds, len(prompts) * tokens / seconds, None)


async def measure(folder: Path, tokens: int, threads: int | None, repeat: int) -> list[Line]:
    """Alternate both ways; keep the fastest of each."""
    engine = LocalEngine(str(folder), threads=threads)
    await engine.start()
    engine._end_tokens = frozenset()
    with tempfile.TemporaryDirectory() as scratch:
        models = _peers(folder, Path(scratch), threads)
        await engine.load(ADAPTER, Path(scratch))
        best: dict[tuple[str, int], Line] = {}
        for _ in range(repeat):
            for chats in (1, 16, 32):
                # Distinct words, so that prompts differ in content and in length.
                texts = [f"Tell me about number {n}, please. " * (1 + n % 3) for n in range(chats)]
                prompts = [engine.prepare([{"role": "user", "content": text}]) for text in texts]
                lines = [await through_engine(engine, prompts, tokens)]
                if chats <= 16:
                    lines.append(await asyncio.to_thread(through_generate, models, prompts, tokens))
                for line in lines:
                    key = line.way, line.chats
                    if key not in best or line.seconds < best[key].seconds:
                        best[key] = line
    await engine.stop()
    return sorted(best.values(), key=lambda line: (line.chats, line.way))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base-model", default=base_folder.STARTER)
    parser.add_argument("--tokens", type=int, default=48, help="length of every answer")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            folder, name = base_folder.resolve(asked.base_model), asked.base_model
        except Invalid:
            if asked.base_model != base_folder.STARTER:
                raise
            folder, name = _random_model(Path(scratch)), "random, of the starter's size"
        lines = asyncio.run(measure(folder, asked.tokens, asked.threads, asked.repeat))
    by = {(line.way, line.chats): line.tokens_per_second for line in lines}
    ratios = {str(chats): by["engine", chats] / by["generate", chats] for chats in (1, 16)}
    if asked.json:
        threads = base_folder.threads(asked.threads)
        print(json.dumps({"model": name, "threads": threads, "tokens": asked.tokens,
                          "lines": [asdict(line) for line in lines], "ratio": ratios}))  # fmt: skip
        return
    print(f"base model: {name}; {asked.tokens} tokens an answer; best of {asked.repeat}")
    print(f"{'way':<10}{'chats':>6}{'tokens/s':>10}{'first token, ms':>17}")
    for line in lines:
        first = f"{line.first_token_ms:.0f}" if line.first_token_ms is not None else "-"
        print(f"{line.way:<10}{line.chats:>6}{line.tokens_per_second:>10.0f}{first:>17}")
    for chats, ratio in ratios.items():
        print(f"engine ÷ generate, {chats} at once: {ratio:.2f}")


def _peers(folder: Path, adapter_folder: Path, threads: int | None) -> list[Any]:
    """The base model as transformers loads it, and a second one under a random PEFT adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(base_folder.threads(threads))
    plain, target = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval() for _ in range(2)
    )
    config = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(target, config).eval()
    adapted.save_pretrained(adapter_folder)
    return [plain, adapted]


def _random_model(folder: Path) -> Path:
    from tests.serving.engines import tiny

    return tiny.build_base(folder, hidden=256, layers=6, context_tokens=512, words=2048)


if __name__ == "__main__":
    main()
