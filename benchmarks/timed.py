"""Seconds of each kind of question: how long it took, and what a process holds meanwhile.

Knows nothing of what is asked.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Timed:
    """Seconds of each kind of question, on the clock and of the processor.

    Args:
        targets: name → seconds that it should take at most.
    """

    def __init__(self, targets: Mapping[str, float]) -> None:
        self._targets = targets
        self.seconds: dict[str, list[float]] = {}
        self.busy: dict[str, list[float]] = {}

    def __call__(self, name: str, ask: Callable[[], T]) -> T:
        """Ask, and remember how long it took."""
        began, processor = time.perf_counter(), time.process_time()
        found = ask()
        self.add(name, [time.perf_counter() - began])
        self.busy.setdefault(name, []).append(time.process_time() - processor)
        return found

    def add(self, name: str, seconds: Sequence[float]) -> None:
        """Remember what was measured elsewhere."""
        self.seconds.setdefault(name, []).extend(seconds)

    def report(self) -> dict[str, Any]:
        """Return medians and 95th percentiles, in seconds."""
        return {
            name: {
                "times": len(found),
                "p50_seconds": statistics.median(found),
                "p95_seconds": p95(found),
                "most_seconds": max(found),
                **self._processor(name),
                "target_seconds": self._targets.get(name),
            }
            for name, found in self.seconds.items()
            if found
        }

    def _processor(self, name: str) -> dict[str, float]:
        busy = self.busy.get(name)
        if not busy:
            return {}
        return {
            "p50_processor_seconds": statistics.median(busy),
            "p95_processor_seconds": p95(busy),
        }


def line(name: str, each: Mapping[str, Any]) -> str:
    """One measurement of a report, as it is printed."""
    said = (
        f"  {name:<34}{each['p50_seconds'] * 1000:>9.1f} ms  p95 "
        f"{each['p95_seconds'] * 1000:>8.1f} ms"
    )
    if "p50_processor_seconds" in each:
        said += (
            f"  (processor {each['p50_processor_seconds'] * 1000:.1f} ms, p95 "
            f"{each['p95_processor_seconds'] * 1000:.1f} ms)"
        )
    if (target := each["target_seconds"]) is not None:
        said += f"  target {target * 1000:.0f} ms"
        said += ", falls short" if each["p95_seconds"] >= target else ""
    return said


def resident_mib(process: int | str = "self") -> int:
    """What a process holds now, without the pages of files that are mapped."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    [held] = [each.split()[1] for each in lines if each.startswith("RssAnon:")]
    return int(held) // 1024


def p95(seconds: Sequence[float]) -> float:
    """Return the 95th percentile."""
    if len(seconds) < 2:
        return seconds[0]
    return statistics.quantiles(seconds, n=20, method="inclusive")[18]
