"""The local engine beside transformers, in one run on one model: many chats, one chat, two versions.

    python -m benchmarks.engine_throughput [--base starter|FOLDER|random:100M] [--json]
        [--against-transformers-serve]

Every answer has as many tokens as asked for, on both sides (the base model's end tokens are taken
away), and what is said is the same. ``generate`` answers one chat after the other, plain and under
PEFT's adapter; the engine answers the same chats one after the other and sixteen at once: through
the base model, through one adapter, and half through each of two. Ratios are taken within a repeat,
whose ways run in shuffled order, and the median of the repeats is kept.

With ``--against-transformers-serve``, ``heed up`` with a live adapter and ``transformers serve``,
with and without continuous batching, each in a process of its own, answer the same streamed chats
over HTTP; transformers' adapters stay off, for it knows none there.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import models, server_process
from benchmarks.models import Base
from serving.engines.base import BASE, GenerationRequest, Prompt, Sampling
from serving.engines.local import LocalEngine

NAMES = ("adp_bench_one", "adp_bench_two")
RATIOS = {
    "together_base": ("together base", "generate base", 6, 3),
    "together_adapter": ("together adapter", "generate adapter", 6, 3),
    "together_adapter_over_plain": ("together adapter", "generate base", None, None),
    "alone_base": ("alone base", "generate base", 0.8, 0.8),
    "alone_adapter": ("alone adapter", "generate adapter", 0.8, 0.8),
    "two_versions_over_base": ("together two", "together base", None, 0.65),
}
"""Name → numerator, denominator, target on the starter and on a model of 100 million parameters."""
SERVED = {
    "transformers_batching": ("heed", "transformers batching", 0.95, 0.95),
    "transformers_as_it_comes": ("heed", "transformers", 5, 5),
}
LARGE = 100_000_000


class InProcess:
    """The engine and transformers' own models, on the same weights and threads."""

    def __init__(self, base: Base, adapters: Sequence[Path], threads: int, chats: int) -> None:
        self.engine = LocalEngine(str(base.folder), threads=threads)
        self._adapters, self._threads = adapters, threads
        self._base = base
        self._chats = chats
        self.prompts: list[Prompt] = []
        self._peers: dict[str, Any] = {}

    async def start(self) -> None:
        """Load everything and answer once each way."""
        await self.engine.start()
        for name, folder in zip(NAMES, self._adapters, strict=True):
            await self.engine.load(name, folder)
        self.prompts = [
            self.engine.prepare([{"role": "user", "content": said}])
            for said in models.sayings(self._chats)
        ]
        self._peers = await asyncio.to_thread(self._load_peers)

    async def run(self, way: str, few: int, tokens: int) -> float:
        """Answer; returns tokens per second."""
        begun = time.perf_counter()
        made = await self._answers(way, few, tokens)
        return made * tokens / (time.perf_counter() - begun)

    async def chosen(self, way: str, few: int, tokens: int) -> list[list[int]]:
        """Answer, and tell each answer's tokens; the engine is slower while it tells them."""
        kind, who = way.split()
        if kind == "generate":
            return await asyncio.to_thread(self._generate, who, self.prompts[:few], tokens)
        listeners = [Listener() for _ in self.prompts]
        await self._answers(way, few, tokens, listeners)
        return [each.tokens for each in listeners if each.tokens]

    async def _answers(
        self, way: str, few: int, tokens: int, listeners: "Sequence[Listener | None]" = ()
    ) -> int:
        kind, who = way.split()
        hears = listeners or [None] * len(self.prompts)
        if kind == "generate":
            await asyncio.to_thread(self._generate, who, self.prompts[:few], tokens)
            return few
        every = [
            self._answer(prompt, who, at, tokens, hears[at])
            for at, prompt in enumerate(self.prompts if kind == "together" else self.prompts[:few])
        ]
        if kind == "together":
            await asyncio.gather(*every)
        else:
            for each in every:
                await each
        return len(every)

    async def _answer(
        self, prompt: Prompt, who: str, at: int, tokens: int, listener: "Listener | None"
    ) -> None:
        adapter = {"base": BASE, "adapter": NAMES[0], "two": NAMES[at % 2]}[who]
        sampling = Sampling(max_tokens=tokens, constraint=listener)
        made = 0
        async for chunk in self.engine.generate(
            GenerationRequest(f"{who}-{at}", prompt, adapter, sampling)
        ):
            made = chunk.completion_tokens
        if made != tokens:
            raise RuntimeError(f"an answer of {made} tokens instead of {tokens}")

    def _generate(self, who: str, prompts: Sequence[Prompt], tokens: int) -> list[list[int]]:
        import torch

        torch.set_num_threads(self._threads)  # holds for the thread that sets it
        model, answers = self._peers[who], []
        with torch.inference_mode():
            for prompt in prompts:
                ids = torch.tensor([prompt.token_ids])
                made = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=tokens,
                    do_sample=False,
                    pad_token_id=0,
                )
                if made.shape[1] != ids.shape[1] + tokens:
                    raise RuntimeError("generate ended an answer early")
                answers.append(made[0, ids.shape[1] :].tolist())
        return answers

    def _load_peers(self) -> dict[str, Any]:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        plain, target = (
            AutoModelForCausalLM.from_pretrained(self._base.folder, dtype=torch.float32).eval()
            for _ in range(2)
        )
        adapted = PeftModel.from_pretrained(target, self._adapters[0]).eval()
        return {"base": plain, "adapter": adapted}


class Listener:
    """A constraint that allows every token and keeps those that were chosen."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.finished = False

    def mask(self, logits: Any) -> None:
        """Allow everything."""

    def take(self, token: int) -> None:
        """Keep it."""
        self.tokens.append(token)


async def in_process(
    base: Base, adapters: Sequence[Path], asked: argparse.Namespace
) -> dict[str, Any]:
    """Tokens per second of every way, their ratios, and how many answers equal ``generate``'s."""
    here = InProcess(base, adapters, asked.threads, asked.chats)
    await here.start()
    ways = sorted({way for pair in RATIOS.values() for way in pair[:2]})
    rates: list[dict[str, float]] = []
    chosen: dict[str, list[list[int]]] = {}
    for way in ways:  # warms them as well
        chosen[way] = await here.chosen(way, asked.sequential_chats, asked.tokens)
    for repeat in range(asked.repeat):
        rates.append({})
        for way in models.shuffled(ways, repeat):
            rates[-1][way] = await here.run(way, asked.sequential_chats, asked.tokens)
    await here.engine.stop()
    compared = [
        ours == theirs
        for way in ("alone base", "alone adapter", "together base", "together adapter")
        for ours, theirs in zip(chosen[way], chosen[f"generate {way.split()[1]}"], strict=False)
    ]
    return {
        **models.summary(rates, RATIOS),
        "answers_equal_to_generate": f"{sum(compared)} of {len(compared)}",
    }


async def against_serve(
    base: Base, adapters: Sequence[Path], asked: argparse.Namespace, scratch: Path
) -> dict[str, Any]:
    """Heed with its adapter live, beside ``transformers serve``, all over HTTP."""
    data = scratch / "served"
    server_process.data_folder(base, data, adapters[:1])
    with contextlib.ExitStack() as running:
        batching = ("--continuous-batching",)
        urls = {
            "heed": running.enter_context(server_process.heed(base, data, asked.threads)),
            "transformers batching": running.enter_context(
                server_process.transformers_serve(base, asked.threads, *batching)
            ),
            "transformers": running.enter_context(
                server_process.transformers_serve(base, asked.threads)
            ),
        }
        names = {"heed": "heed"}
        rates, _ = await server_process.alternate(
            {way: (url, names.get(way, str(base.folder))) for way, url in urls.items()},
            lambda _: models.sayings(asked.chats),
            tokens=asked.tokens,
            repeat=asked.repeat,
        )
    return models.summary(rates, SERVED)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models.add_arguments(parser, repeat=5)
    models.add_chats(parser)
    parser.add_argument(
        "--sequential-chats", type=int, default=4, help="of these, answered one after the other"
    )
    parser.add_argument("--against-transformers-serve", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        base = models.prepare(asked.base, scratch)
        adapters = models.build_adapters(base, scratch, 2)
        found = {
            **models.head(base, asked),
            **asyncio.run(in_process(base, adapters, asked)),
        }
        if asked.against_transformers_serve:
            found["served"] = asyncio.run(against_serve(base, adapters, asked, scratch))
    if asked.json:
        print(json.dumps(found))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    print(models.headline(found))
    large = found["parameters"] >= LARGE
    for part, targets in ((found, RATIOS), (found.get("served"), SERVED)):
        if part is None:
            continue
        for way, rate in part["tokens_per_second"].items():
            print(f"  {way:<24}{rate['median']:>8.0f} tokens/s")
        for name, ratio in part["ratio"].items():
            over, under, starter, larger = targets[name]
            target = larger if large else starter
            wanted = f"  target {target}" if target else ""
            print(f"  {over} ÷ {under}: {models.shown(ratio)}{wanted}")
    print(f"  answers equal to generate's: {found['answers_equal_to_generate']}")


if __name__ == "__main__":
    main()
