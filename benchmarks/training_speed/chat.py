"""What a round does to the people who chat meanwhile: the 99th percentile of answers, with and without.

``heed up`` on the starter in a process of its own, one thread for the engine; questions arrive at a
quarter of the rate that it can answer, at moments fixed beforehand. The round is the product's: it
learns from accepted corrections in its own niced process, on one thread. It is cancelled once it has
been measured, before anything is swapped.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx

from benchmarks import load, open_loop, server_process
from benchmarks.continual.streams_facts import build
from benchmarks.continual.tasks import Lesson

SHARE_OF_CAPACITY = 0.25
CONNECTIONS = 16
_PROBED = 300
_LONG_ENOUGH = 200.0
"""Passes over the material: the round must outlast what is measured beside it."""
_PATIENCE_SECONDS = 600.0


def measure(folder: Path, *, seconds: float) -> dict[str, float]:
    """Return rates and percentiles (milliseconds), with a round and without.

    Args:
        folder: a new one, for the server's data.
        seconds: length of a period.

    Raises:
        RuntimeError: the round ended before it was measured.
    """
    folder.mkdir(parents=True)
    port = server_process.free_port()
    environment = {
        **server_process.own_environment(),
        "HEED_FEEDBACK__DATA_DIR": str(folder),
        "HEED_SERVING__THREADS": "1",
        "HEED_TRAINER__THREADS": "1",
        "HEED_TRAINER__EPOCHS": str(_LONG_ENOUGH),
    }
    command = [*server_process.HEED, "up", "--port", str(port)]
    command += ["--role", "api", "--role", "scheduler"]
    with server_process.process(command, environment, folder) as up:
        url = f"http://127.0.0.1:{port}"
        server_process.wait(f"{url}/readyz", up)
        with httpx.Client(base_url=url, timeout=60) as http:
            lessons = build(0, 1, 1.0).tasks[0].lessons
            _teach(http, lessons)
            return _measured(http, port, [_question(lesson) for lesson in lessons], seconds)


def _measured(http: httpx.Client, port: int, said: list[bytes], seconds: float) -> dict[str, float]:
    """What it can answer, then a period without a round and one with."""
    asked: Iterator[bytes] = islice(cycle(said), _PROBED)
    capacity = asyncio.run(
        load.as_fast_as_it_goes("127.0.0.1", port, asked, CONNECTIONS, expected=200)
    )
    rate = capacity * SHARE_OF_CAPACITY
    quiet = _period(port, said, rate, seconds)
    opened = http.post("/v1/rounds").raise_for_status().json()["id"]
    _until(http, opened, lambda row: row["state"] != "open" or _trains(row))
    busy = _period(port, said, rate, seconds)
    row = _round(http, opened)
    if not _trains(row):
        raise RuntimeError(f"The round did not outlast the measurement: {row['message']}")
    http.post(f"/v1/rounds/{opened}/cancel").raise_for_status()
    _until(http, opened, lambda row: row["state"] != "open")  # else its process would outlive it
    return {
        "capacity_per_second": capacity,
        "rate_per_second": rate,
        "p99_quiet_ms": 1e3 * percentile(quiet, 0.99),
        "p99_busy_ms": 1e3 * percentile(busy, 0.99),
        "p50_quiet_ms": 1e3 * percentile(quiet, 0.5),
        "p50_busy_ms": 1e3 * percentile(busy, 0.5),
        "answers": float(len(busy)),
    }


def percentile(values: list[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _teach(http: httpx.Client, lessons: tuple[Lesson, ...]) -> None:
    """Every question is asked, corrected, and the correction accepted by a reviewer."""
    ids = []
    for lesson in lessons:
        answer = http.post(
            "/v1/chat/completions",
            json={"model": "heed", "messages": list(lesson.messages), "user": lesson.person},
        )
        body = {
            "completion_id": answer.raise_for_status().json()["id"],
            "user": lesson.person,
            "correction": lesson.wanted,
        }
        ids.append(http.post("/v1/feedback", json=body).raise_for_status().json()["id"])
    decided = {"feedback_id": ids, "decision": "accept"}
    http.post("/v1/reviews", json=decided).raise_for_status()


def _question(lesson: Lesson) -> bytes:
    return load.post(
        "/v1/chat/completions",
        {"model": "heed", "messages": list(lesson.messages), "max_tokens": 48},
    )


def _period(port: int, said: list[bytes], rate: float, seconds: float) -> list[float]:
    asked = [said[number % len(said)] for number in range(round(rate * seconds))]
    sent = open_loop.send(
        ("127.0.0.1", port), asked, per_second=rate, connections=CONNECTIONS, expected=200
    )
    return sent.waits


def _until(http: httpx.Client, round_id: str, done: Callable[[dict[str, Any]], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not done(row := _round(http, round_id)):
        if time.monotonic() > until:
            raise RuntimeError(f"The round is still at {row['stage']}")
        time.sleep(0.2)


def _trains(row: dict[str, Any]) -> bool:
    """Whether it takes steps now: before the first of them it imports and loads."""
    in_time: bool = row["state"] == "open" and row["stage"] == "train"
    return in_time and row["message"].startswith("Step ")


def _round(http: httpx.Client, round_id: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/rounds/{round_id}").raise_for_status().json()
    return found
