"""What the fallback costs: static batches beside the own loop, on the same model.

    python -m benchmarks.static_batches [--base starter|FOLDER|random:100M] [--json]

Both engines in one process, in turns. Sixteen chats at once; one chat alone; and a short answer
that is asked for while a long one is under way, which in a static batch waits for its end. Also the
time that the check of the own loop takes at a start. Ratios are taken within a repeat.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import models
from serving.engines.base import BASE, GenerationRequest, Sampling
from serving.engines.local import LocalEngine

_CHATS = 16
_SHORT_TOKENS = 4


async def answer(engine: LocalEngine, said: str, tokens: int) -> int:
    """Ask once; returns how many tokens came."""
    prompt = engine.prepare([{"role": "user", "content": said}])
    request = GenerationRequest("req", prompt, BASE, Sampling(max_tokens=tokens))
    return [chunk async for chunk in engine.generate(request)][-1].completion_tokens


async def together(engine: LocalEngine, said: Sequence[str], tokens: int) -> float:
    """Tokens per second of chats that begin at once."""
    begun = time.perf_counter()
    made = await asyncio.gather(*(answer(engine, one, tokens) for one in said))
    return sum(made) / (time.perf_counter() - begun)


async def behind(engine: LocalEngine, said: Sequence[str], tokens: int) -> float:
    """Seconds that a short answer takes which is asked for just after a long one has begun."""
    long = asyncio.create_task(answer(engine, said[0], tokens))
    while not engine.health().running:
        await asyncio.sleep(0.001)
    begun = time.perf_counter()
    await answer(engine, said[1], _SHORT_TOKENS)
    seconds = time.perf_counter() - begun
    await long
    return seconds


def check(base: models.Base, asked: argparse.Namespace) -> list[float]:
    """Seconds in which the own loop proves itself; the first time loads code and is left out."""
    from transformers import AutoModelForCausalLM

    from serving.engines.continuous import ContinuousDecoder
    from serving.engines.self_check import disagreement

    model = AutoModelForCausalLM.from_pretrained(base.folder, attn_implementation="sdpa").eval()
    seconds = []
    for _ in range(asked.repeat + 1):
        begun = time.perf_counter()
        assert disagreement(ContinuousDecoder(model), model) is None
        seconds.append(time.perf_counter() - begun)
    return seconds[1:]


async def measure(base: models.Base, asked: argparse.Namespace) -> dict[str, Any]:
    """All repeats, after one that warms up."""
    own = LocalEngine(str(base.folder), threads=asked.threads)
    await own.start()
    static = LocalEngine(str(base.folder), threads=asked.threads, batching="static")
    await static.start()
    said = models.sayings(_CHATS)
    rows: list[dict[str, float]] = []
    for _ in range(asked.repeat + 1):
        found = {
            engine: (
                await together(engine, said, asked.tokens),
                await together(engine, said[:1], asked.tokens),
                await behind(engine, said, 2 * asked.tokens),
            )
            for engine in (own, static)
        }
        ours, theirs = found[own], found[static]
        rows.append(
            {
                "sixteen_at_once": theirs[0] / ours[0],
                "one_alone": theirs[1] / ours[1],
                "short_behind_long": theirs[2] / ours[2],
                "short_behind_long_seconds": theirs[2],
            }
        )
    await own.stop()
    await static.stop()
    return {
        "check_seconds": models.median(check(base, asked)),
        **{name: models.median([row[name] for row in rows[1:]]) for name in rows[0]},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models.add_arguments(parser, repeat=5)
    parser.add_argument("--tokens", type=int, default=48, help="length of an answer")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = models.prepare(asked.base, Path(folder))
        found = asyncio.run(measure(base, asked))
    if asked.json:
        print(json.dumps({"base": base.name, "threads": asked.threads, **found}))
        return
    print(f"{base.name}, {asked.threads} threads, {asked.tokens} tokens; static ÷ own loop")
    for name, values in found.items():
        print(f"  {name:26} {models.shown(values)}")


if __name__ == "__main__":
    main()
