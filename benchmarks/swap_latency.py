"""What a swap does to the people who are chatting: time to first token during swaps and outside.

    python -m benchmarks.swap_latency [--base starter|FOLDER|random:100M] [--json]

``heed up`` in a process of its own, streaming clients that chat without a pause, and two adapters
that are promoted back and forth over HTTP in every other period; one of them loads anew each time,
the other is still loaded. An answer counts as *during* a swap if it waited for its first token
while a promotion was being made, and its gaps between two pieces if they touch one. Of every
repeat, which has one quiet period and one with swaps, the ratio of the 99th percentiles is taken.
"""

import argparse
import asyncio
import itertools
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks import models, server_process
from benchmarks.server_process import Heard

TARGET = 1.5
Span = tuple[float, float]


async def period(
    url: str, names: Sequence[str], asked: argparse.Namespace, *, swaps: bool
) -> tuple[list[Heard], list[Span]]:
    """Chat for a while; returns what was heard and when promotions were made."""
    said = models.sayings(3 * asked.clients)
    heard: list[Heard] = []
    made: list[Span] = []
    over = time.perf_counter() + asked.seconds

    async def chats(http: httpx.AsyncClient, turn: int) -> None:
        while time.perf_counter() < over:
            heard.append(
                await server_process.chat(http, said[turn % len(said)], asked.tokens, "heed")
            )
            turn += asked.clients

    async def promotions(http: httpx.AsyncClient) -> None:
        while swaps and time.perf_counter() < over:
            begun = time.perf_counter()
            wanted = names[(len(made) + 1) % 2]
            (await http.post(f"/v1/adapters/{wanted}/promote")).raise_for_status()
            made.append((begun, time.perf_counter()))
            await asyncio.sleep(asked.pause)

    async with server_process.client(url) as http:
        await asyncio.gather(promotions(http), *(chats(http, n) for n in range(asked.clients)))
    return heard, made


def gaps(heard: Sequence[Heard], spans: Sequence[Span] | None) -> list[float]:
    """Seconds between two pieces of an answer; with spans, only of gaps that touch one."""
    return [
        after - before
        for each in heard
        for before, after in itertools.pairwise(each.pieces)
        if spans is None or touches(before, after, spans)
    ]


def touches(begun: float, ended: float, spans: Sequence[Span]) -> bool:
    """Whether a time overlaps any of the spans."""
    return any(begun < last and first < ended for first, last in spans)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


async def measure(url: str, names: Sequence[str], asked: argparse.Namespace) -> dict[str, Any]:
    """All repeats, after one that warms up."""
    await period(url, names, argparse.Namespace(**{**vars(asked), "seconds": 2.0}), swaps=True)
    rows: list[dict[str, float]] = []
    inside, outside, promotions = [], [], []
    versions: set[str] = set()
    for _ in range(asked.repeat):
        calm, _ = await period(url, names, asked, swaps=False)
        busy, made = await period(url, names, asked, swaps=True)
        during = [
            h.first_seconds for h in busy if touches(h.begun, h.begun + h.first_seconds, made)
        ]
        quiet = [h.first_seconds for h in calm]
        inside += during
        outside += quiet
        promotions += [last - first for first, last in made]
        versions |= {each.label for each in busy}
        rows.append(
            {
                "ratio": percentile(during, 0.99) / percentile(quiet, 0.99),
                "ratio_of_medians": percentile(during, 0.5) / percentile(quiet, 0.5),
                "gap_quiet": percentile(gaps(calm, None), 0.5),
                "gap_quiet_longest": max(gaps(calm, None)),
                "gap_during_longest": max(gaps(busy, made)),
            }
        )
    return {
        "swaps": len(promotions),
        "versions": len(versions),
        "answers_during": len(inside),
        "answers_outside": len(outside),
        "p99_first_token_ms": {
            "during": 1e3 * percentile(inside, 0.99),
            "outside": 1e3 * percentile(outside, 0.99),
        },
        "promotion_ms": {
            "median": 1e3 * percentile(promotions, 0.5),
            "p99": 1e3 * percentile(promotions, 0.99),
        },
        "pooled_ratio": percentile(inside, 0.99) / percentile(outside, 0.99),
        **{name: models.median([row[name] for row in rows]) for name in rows[0]},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models.add_arguments(parser, repeat=3)
    parser.add_argument("--tokens", type=int, default=24, help="length of every answer")
    parser.add_argument("--clients", type=int, default=8, help="people who chat at once")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of a period")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between two swaps")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        base = models.prepare(asked.base, scratch)
        adapters = models.build_adapters(base, scratch, 2)
        names = server_process.data_folder(base, scratch / "data", adapters)
        with server_process.heed(base, scratch / "data", asked.threads) as url:
            found = {
                **models.head(base, asked),
                **asyncio.run(measure(url, names, asked)),
            }
    if asked.json:
        print(json.dumps(found))
        return
    first, promotion = found["p99_first_token_ms"], found["promotion_ms"]
    print(
        f"{base.name}, {base.parameters / 1e6:.1f}M parameters; {asked.threads} thread(s); "
        f"{asked.clients} people; {found['swaps']} swaps in {asked.repeat} periods of "
        f"{asked.seconds:g} s"
    )
    print(f"  p99 to first token: {first['during']:.0f} ms during a swap "
          f"({found['answers_during']} answers), {first['outside']:.0f} ms outside "
          f"({found['answers_outside']})")  # fmt: skip
    print(f"  ratio of p99, median of repeats: {models.shown(found['ratio'])}  target ≤{TARGET}")
    print(f"  ratio of medians: {models.shown(found['ratio_of_medians'])}")
    print(f"  between two pieces: {1e3 * found['gap_quiet']['median']:.0f} ms in the middle; the "
          f"longest {1e3 * found['gap_quiet_longest']['median']:.0f} ms outside, "
          f"{1e3 * found['gap_during_longest']['median']:.0f} ms during a swap")  # fmt: skip
    print(f"  a promotion takes {promotion['median']:.0f} ms (p99 {promotion['p99']:.0f} ms)")


if __name__ == "__main__":
    main()
