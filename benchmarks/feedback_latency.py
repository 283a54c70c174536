"""How long feedback takes at a steady rate, the fsync included.

    python -m benchmarks.feedback_latency [--rate N] [--seconds N] [--connections N] [--json]

An open loop: every post is due at a moment that was fixed beforehand, and its time runs from then
on, so that a server that falls behind cannot hide it. ``heed up`` with one worker, over HTTP.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import ingest_server, load

TARGET_SECONDS = 0.05
WARM_SECONDS = 2.0


async def measure(asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Post at the rate; returns the percentiles in seconds."""
    with ingest_server.running(scratch / "data") as (host, port):
        named = ingest_server.completions(host, port, 50)

        async def run(name: str, seconds: float) -> list[float]:
            def request(number: int) -> bytes:
                said = {
                    "completion_id": named[number % len(named)],
                    "event_id": f"{name}-{number}",
                    "user": f"user-{number % 1000}",
                    "rating": "up",
                }
                return load.post("/v1/feedback", said)

            return await load.at_a_rate(
                host,
                port,
                request,
                per_second=asked.rate,
                seconds=seconds,
                connections=asked.connections,
                expected=201,
            )

        await run("warm", WARM_SECONDS)
        waits = await run("evt", asked.seconds)
    cuts = statistics.quantiles(waits, n=1000, method="inclusive")
    return {
        "per_second": asked.rate,
        "seconds": asked.seconds,
        "connections": asked.connections,
        "posts": len(waits),
        "p50_seconds": cuts[499],
        "p90_seconds": cuts[899],
        "p99_seconds": cuts[989],
        "p999_seconds": cuts[998],
        "worst_seconds": max(waits),
        "target_p99_seconds": TARGET_SECONDS,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=1000, help="posts per second")
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--connections", type=int, default=64, help="that may ask at once")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(asked, Path(scratch)))
    if asked.json:
        print(json.dumps(found))
        return
    print(f"{asked.rate:.0f} posts/s for {asked.seconds:g} s over {asked.connections} connections")
    for name in ("p50", "p90", "p99", "p999", "worst"):
        print(f"  {name:<6}{found[f'{name}_seconds'] * 1000:>8.1f} ms")
    print(f"  target: p99 below {TARGET_SECONDS * 1000:.0f} ms")


if __name__ == "__main__":
    main()
