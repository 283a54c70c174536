"""What HTTP, streaming and logging cost: ``heed up`` beside the bare engine, in one run.

    python -m benchmarks.http_overhead [--base starter|FOLDER|random:100M] [--json]

The bare engine runs in this process; ``heed up`` in another one, asked by streaming clients in this
one, with every exchange on the disk before its answer ends. Model, adapter, threads and what is said
are the same; the sides alternate, and the median of the ratios is kept. Clients and server share the
machine's cores, so that the ratio counts what the clients cost too.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import models, server_process
from serving.engines.base import GenerationRequest, Sampling
from serving.engines.local import LocalEngine

TARGET = 0.9
"""HTTP and logging may cost a tenth of the throughput on a model of 100 million parameters."""
BARE = "adp_bench"


async def measure(asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Alternate both sides; returns their rates and ratios."""
    base = models.prepare(asked.base, scratch)
    (adapter,) = models.build_adapters(base, scratch, 1)
    server_process.data_folder(base, scratch / "data", [adapter])
    engine = LocalEngine(str(base.folder), threads=asked.threads)
    await engine.start()
    await engine.load(BARE, adapter)
    said = models.sayings(asked.chats)
    whole = asked.chats * asked.tokens

    async def one(text: str) -> str:
        prompt = engine.prepare([{"role": "user", "content": text}])
        request = GenerationRequest(text, prompt, BARE, Sampling(max_tokens=asked.tokens))
        return "".join([chunk.text async for chunk in engine.generate(request)])

    async def bare() -> tuple[float, list[str]]:
        begun = time.perf_counter()
        texts = await asyncio.gather(*(one(text) for text in said))
        return whole / (time.perf_counter() - begun), list(texts)

    async def over_http(url: str) -> tuple[float, list[str]]:
        async with server_process.client(url) as http:
            seconds, heard = await server_process.together(http, said, asked.tokens, "heed")
        return whole / seconds, [each.text for each in heard]

    bare_rates, http_rates = [], []
    with contextlib.ExitStack() as running:
        url = running.enter_context(server_process.heed(base, scratch / "data", asked.threads))
        (_, expected), (_, answered) = await bare(), await over_http(url)  # warm
        for repeat in range(asked.repeat):
            for side in models.shuffled(["bare", "http"], repeat):
                if side == "bare":
                    bare_rates.append((await bare())[0])
                else:
                    http_rates.append((await over_http(url))[0])
    await engine.stop()
    return {
        **models.head(base, asked),
        "bare_tokens_per_second": models.median(bare_rates),
        "http_tokens_per_second": models.median(http_rates),
        "http_over_bare": models.median(
            [http / alone for http, alone in zip(http_rates, bare_rates, strict=True)]
        ),
        "answers_equal": f"{sum(map(str.__eq__, expected, answered))} of {len(said)}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models.add_arguments(parser, repeat=7)
    models.add_chats(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(asked, Path(scratch)))
    if asked.json:
        print(json.dumps(found))
        return
    print(models.headline(found))
    print(f"  bare engine             {found['bare_tokens_per_second']['median']:>8.0f} tokens/s")
    print(f"  HTTP, streams, logging  {found['http_tokens_per_second']['median']:>8.0f} tokens/s")
    print(f"  ratio: {models.shown(found['http_over_bare'])}  target {TARGET} on ≥100M parameters")
    print(f"  answers equal on both sides: {found['answers_equal']}")


if __name__ == "__main__":
    main()
