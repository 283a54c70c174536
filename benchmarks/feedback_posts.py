"""What a durable feedback post costs: beside a route of the same server that does nothing.

    python -m benchmarks.feedback_posts [--posts N] [--connections N …] [--repeat N] [--json]

``heed up`` with one worker, over HTTP. Both sides send the same bytes to the same server; one goes to
``/v1/feedback`` and is on the disk when it is answered, the other to a route that reads the body and
answers ``{}``, without a key, a check or a row. The sides alternate, and the median of the ratios is
kept, for each number of connections: what a commit costs is shared by all who wait for it. Client and
server share the machine's cores.
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
    """Alternate both sides; returns their rates and the ratio, by the number of connections."""
    numbers = itertools.count()
    found = []
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

        async def side(name: str, count: int, connections: int) -> float:
            path, status = {
                "feedback": ("/v1/feedback", 201),
                "no-op": (ingest_server.NO_OP, 200),
            }[name]
            return await load.as_fast_as_it_goes(
                host, port, requests(path, count), connections, status
            )

        for connections in asked.connections:
            rates: dict[str, list[float]] = {"feedback": [], "no-op": []}
            for name in rates:  # warm
                await side(name, asked.posts // 4, connections)
            for repeat in range(asked.repeat):
                for name in models.shuffled(list(rates), repeat):
                    rates[name].append(await side(name, asked.posts, connections))
            ratios = [post / none for post, none in zip(*rates.values(), strict=True)]
            found.append(
                {
                    "connections": connections,
                    "feedback_per_second": models.median(rates["feedback"]),
                    "no_op_per_second": models.median(rates["no-op"]),
                    "feedback_over_no_op": models.median(ratios),
                }
            )
    return {"posts": asked.posts, "repeat": asked.repeat, "target": TARGET, "measured": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--posts", type=int, default=4000, help="of each side, in each repeat")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[64, 128, 256], help="that ask at once"
    )
    parser.add_argument("--repeat", type=int, default=7, help="alternations; medians are kept")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(asked, Path(scratch)))
    if asked.json:
        print(json.dumps(found))
        return
    print(f"{asked.posts} posts a side; median of {asked.repeat} (lowest–highest); target {TARGET}")
    print("connections  feedback, on the disk  no-op route  ratio")
    for each in found["measured"]:
        print(
            f"{each['connections']:>11}  {each['feedback_per_second']['median']:>13.0f} posts/s"
            f"  {each['no_op_per_second']['median']:>4.0f} posts/s"
            f"  {models.shown(each['feedback_over_no_op'])}"
        )


if __name__ == "__main__":
    main()
