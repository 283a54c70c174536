"""Heed's local engine beside vLLM on the CPU, over HTTP, in one run: sixteen chats through an adapter.

    python -m benchmarks.against_vllm --vllm-python ~/vllm/bin/python
        [--base starter|FOLDER|random:100M] [--threads N] [--json]

``heed up`` with an adapter live, and vLLM, eager, with the same adapter loaded, each in a process of
its own, both in single precision and with the same number of threads. Both are up throughout, and
one of them is asked at a time: the same chats, streamed and greedy, sixteen at once; every answer
has as many tokens as asked for (the base model's end tokens are taken away). Each repeat says
something new, so that vLLM's cache of prompts helps no more than it would with people. Ratios are
taken within a repeat, whose sides run in shuffled order, and the median of the repeats is kept.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import models, server_process
from benchmarks.models import Base

RATIOS: models.Ratios = {"heed_over_vllm": ("heed", "vllm", None, None)}
NO_VLLM = (
    "--vllm-python names the Python of an environment that vLLM is installed in{found}. "
    'CONTRIBUTING.md says under "The tests against a real vLLM" how to make one.'
)


async def measure(base: Base, asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Tokens per second of both, their ratio, and how many answers are the same."""
    [adapter] = models.build_adapters(base, scratch, 1)
    data = scratch / "served"
    server_process.data_folder(base, data, [adapter])
    with contextlib.ExitStack() as running:
        heed = running.enter_context(server_process.heed(base, data, asked.threads))
        vllm = running.enter_context(
            server_process.vllm(
                base,
                scratch / "vllm",
                adapter=adapter,
                threads=asked.threads,
                python=asked.vllm_python,
                chats=asked.chats,
            )
        )
        rates, texts = await server_process.alternate(
            {"heed": (heed, "heed"), "vllm": (vllm, "adapter")},
            partial(_sayings, asked.chats),
            tokens=asked.tokens,
            repeat=asked.repeat,
            temperature=0,
        )
    same = [ours == theirs for ours, theirs in zip(texts["heed"], texts["vllm"], strict=True)]
    return {
        **models.summary(rates, RATIOS),
        "same_answers": f"{sum(same)} of {len(same)}",
    }


def _sayings(chats: int, at: int) -> Sequence[str]:
    return models.sayings(chats, first=at * chats)


def _python(text: str) -> Path:
    """A Python with vLLM, absolute, its environment kept (no links are followed)."""
    found = shutil.which(str(Path(text).expanduser()))
    packages = "lib*/python*/site-packages/vllm"
    if found is None or not any(Path(found).absolute().parent.parent.glob(packages)):
        raise argparse.ArgumentTypeError(NO_VLLM.format(found=f"; {text} is none"))
    return Path(found).absolute()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models.add_arguments(parser, repeat=5)
    parser.add_argument("--vllm-python", type=_python, help="Python of vLLM's own environment")
    models.add_chats(parser)
    asked = parser.parse_args()
    if asked.vllm_python is None:
        parser.error(NO_VLLM.format(found=""))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        base = models.prepare(asked.base, scratch)
        found = {
            **models.head(base, asked),
            **asyncio.run(measure(base, asked, scratch)),
        }
    if asked.json:
        print(json.dumps(found))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    print(models.headline(found))
    for way, rate in found["tokens_per_second"].items():
        print(f"  {way:<8}{rate['median']:>8.0f}  ({rate['min']:.0f}–{rate['max']:.0f}) tokens/s")
    print(f"  heed ÷ vllm: {models.shown(found['ratio']['heed_over_vllm'])}")
    print(f"  the same answers: {found['same_answers']}")


if __name__ == "__main__":
    main()
