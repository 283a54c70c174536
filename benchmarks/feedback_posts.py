"""What a durable feedback post costs: beside a route of the same server that does nothing.

    python -m benchmarks.feedback_posts [--posts N] [--connections N] [--repeat N] [--json]

``heed up`` with one worker, over HTTP. Both sides send the same bytes to the same server; one goes to
``/v1/feedback`` and is on the disk when it is answered, the other to a route that reads the body and
answers ``{}``, without a key, a check or a row. The sides alternate, and the median of the ratios is
kept. Client and server share the machine's cores.
"""

import argparse
import asyncio
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import ingest_server, load, models

TARGET = 0.6


async def measure(asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Alternate both sides; returns their rates and the ratio."""
    numbers = itertools.count()
    rates: dict[str, list[float]] = {"feedback": [], "no-op": []}
    with ingest_server.running(scratch / "data") as (host, port):
        named = ingest_server.completions(host, port, 50)

        def requests(path: str, count: int) -> Iterator[bytes]:
            for number in itertools.islice(numbers, count):
                said = {
                    "completion_id": named[number % len(named)],
                    "event_id": f"evt-{number}",
                    "user": f"user-{number % 1000}",
                    "rating": "down" if number % 3 else "up",
                }
                yield load.post(path, said)

        async def side(name: str, count: int) -> float:
            path, status = {
                "feedback": ("/v1/feedback", 201),
                "no-op": (ingest_server.NO_OP, 200),
            }[name]
            return await load.as_fast_as_it_goes(
                host, port, requests(path, count), asked.connections, status
            )

        for name in rates:  # warm
            await side(name, asked.posts // 4)
        for repeat in range(asked.repeat):
            for name in models.shuffled(list(rates), repeat):
                rates[name].append(await side(name, asked.posts))
    return {
        "posts": asked.posts,
        "connections": asked.connections,
        "repeat": asked.repeat,
        "feedback_per_second": models.median(rates["feedback"]),
        "no_op_per_second": models.median(rates["no-op"]),
        "feedback_over_no_op": models.median(
            [post / none for post, none in zip(rates["feedback"], rates["no-op"], strict=True)]
        ),
        "target": TARGET,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--posts", type=int, default=4000, help="of each side, in each repeat")
    parser.add_argument("--connections", type=int, default=64, help="that ask at once")
    parser.add_argument("--repeat", type=int, default=7, help="alternations; medians are kept")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(asked, Path(scratch)))
    if asked.json:
        print(json.dumps(found))
        return
    print(
        f"{asked.posts} posts over {asked.connections} connections; median of {asked.repeat} "
        "(lowest–highest)"
    )
    print(f"  feedback, on the disk  {found['feedback_per_second']['median']:>7.0f} posts/s")
    print(f"  no-op route            {found['no_op_per_second']['median']:>7.0f} posts/s")
    print(f"  ratio: {models.shown(found['feedback_over_no_op'])}  target {TARGET}")


if __name__ == "__main__":
    main()
