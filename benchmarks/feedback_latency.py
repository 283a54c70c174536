"""How long feedback takes at a steady rate, the fsync included.

    python -m benchmarks.feedback_latency [--rate N] [--seconds N] [--connections N] [--json]

An open loop (`benchmarks.open_loop`): every post is due at a moment that was fixed beforehand, and its
time runs from then on. ``heed up`` with one worker, over HTTP. Beside the waits stands how late the
client itself was, how long this disk takes for a bare fsync, and for every second in which a post was
slow who had the processor: where others had it, the figure is theirs.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ingest_server, load, open_loop

TARGET_SECONDS = 0.05
WARM_SECONDS = 2.0
FSYNCS = 200
_TICKS = os.sysconf("SC_CLK_TCK")


def measure(asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Post at the rate; returns the percentiles in seconds."""
    alone = fsyncs(scratch)
    with ingest_server.running(scratch / "data") as (host, port):
        named = ingest_server.completions(host, port, 50)

        def run(name: str, seconds: float) -> open_loop.Sent:
            said = (_said(name, number, named) for number in range(round(asked.rate * seconds)))
            return open_loop.send(
                (host, port),
                [load.post("/v1/feedback", each) for each in said],
                per_second=asked.rate,
                connections=asked.connections,
                expected=201,
            )

        run("warm", WARM_SECONDS)
        with processors(_listener(port)) as seen:
            sent = run("evt", asked.seconds)
    return {
        "per_second": asked.rate,
        "seconds": asked.seconds,
        "connections": asked.connections,
        "posts": len(sent.waits),
        **_percentiles(sent.waits, ""),
        **_percentiles(sent.late, "client_late_"),
        "client_processor_seconds_a_post": sent.processor_seconds / len(sent.waits),
        **_percentiles(alone, "bare_fsync_"),
        "load_average": os.getloadavg()[0],
        "target_p99_seconds": TARGET_SECONDS,
        "slow_seconds": slow(sent, seen, asked.rate),
    }


def fsyncs(folder: Path) -> list[float]:
    """Seconds that the disk takes to make as many bytes durable as a commit has."""
    seconds = []
    with (folder / "bare").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(bytes(65_536))
            began = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return seconds


@contextlib.contextmanager
def processors(server: int) -> Iterator[list[dict[str, float]]]:
    """Note every second who had the processors, in seconds of one of them."""
    seen: list[dict[str, float]] = []
    stop = threading.Event()

    def look() -> None:
        before = _used(server)
        while not stop.wait(1.0):
            now = _used(server)
            seen.append({"at": time.time(), **{each: now[each] - before[each] for each in now}})
            before = now

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield seen
    finally:
        stop.set()
        watching.join()


def slow(
    sent: open_loop.Sent, seen: Sequence[dict[str, float]], rate: float
) -> list[dict[str, float]]:
    """The seconds with a post slower than the target, with what was seen meanwhile."""
    found = []
    for each in seen:
        end = round((each["at"] - sent.began_at) * rate)
        waits = sent.waits[max(0, end - round(rate)) : max(0, end)]
        if waits and max(waits) > TARGET_SECONDS:
            spent = {name: round(value, 2) for name, value in each.items() if name != "at"}
            second = round(each["at"] - sent.began_at, 1)
            found.append({"second": second, "worst_seconds": max(waits), **spent})
    return found


def _said(name: str, number: int, named: Sequence[str]) -> dict[str, str]:
    return {
        "completion_id": named[number % len(named)],
        "event_id": f"{name}-{number}",
        "user": f"user-{number % 1000}",
        "rating": "up",
    }


def _listener(port: int) -> int:
    """The process that listens on a port of this machine."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].partition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or not ours
            if any(os.readlink(each) in inodes for each in (process / "fd").iterdir()):
                return int(process.name)
    raise RuntimeError(f"nobody listens on port {port}")


def _used(server: int) -> dict[str, float]:
    """Processor seconds so far: of the server, of everybody, stolen, and spent waiting."""
    whole = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, waiting, hard, soft, stolen = whole[:8]
    own = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    spent = int(own[11]) + int(own[12])
    ticks = {
        "server": spent,
        "others_and_client": user + nice + system + hard + soft - spent,
        "stolen": stolen,
        "waiting_for_disk": waiting,
    }
    return {name: value / _TICKS for name, value in ticks.items()}


def _percentiles(seconds: Sequence[float], prefix: str) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=1000, method="inclusive")
    return {
        f"{prefix}p50_seconds": cuts[499],
        f"{prefix}p90_seconds": cuts[899],
        f"{prefix}p99_seconds": cuts[989],
        f"{prefix}p999_seconds": cuts[998],
        f"{prefix}worst_seconds": max(seconds),
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
        found = measure(asked, Path(scratch))
    if asked.json:
        print(json.dumps(found))
        return
    print(f"{asked.rate:.0f} posts/s for {asked.seconds:g} s over {asked.connections} connections")
    print("            posts  client late  bare fsync")
    for name in ("p50", "p90", "p99", "p999", "worst"):
        shown = [found[f"{kind}{name}_seconds"] for kind in ("", "client_late_", "bare_fsync_")]
        print(f"  {name:<6}" + "".join(f"{each * 1000:>8.1f} ms" for each in shown))
    print(
        f"  target: p99 below {TARGET_SECONDS * 1000:.0f} ms; load average "
        f"{found['load_average']:.1f}"
    )
    for each in found["slow_seconds"]:
        facts = ", ".join(
            f"{name.replace('_', ' ')} {value:.2f}"
            for name, value in each.items()
            if "sec" not in name
        )
        print(
            f"  second {each['second']:.0f}: {each['worst_seconds'] * 1000:.0f} ms at worst; {facts}"
        )


if __name__ == "__main__":
    main()
