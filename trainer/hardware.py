"""What the machine offers a round: cores that are free now, and whether bf16 is native.

Knows no torch: its answers must be known before torch loads.
"""

import os
import time
from pathlib import Path

_SAMPLE_SECONDS = 0.1
_SMALL_BYTES = 32 * 1024 * 1024
# A step holds two to four batches; more lanes than that would only wait.
_MOST_LANES = 4


def calm_threads() -> None:
    """Make waiting threads sleep, and nothing report home; only before torch is loaded.

    OpenMP threads spin by default. Beside a busy chat server that turns seconds into a minute.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def spread(wanted: int | None, *, weights_bytes: int, processes: int = 1) -> tuple[int, int]:
    """How many threads share one operation, and how many pieces of work run side by side.

    A small model's operations are too short to share: two threads that wait for each other at
    every one of them took twice the CPU time and longer by the clock. Its batches, which wait for
    each other once a step, are spread over the cores instead; those of a large model share all
    cores that are free, one batch after another.

    Args:
        wanted: the plan's number of threads in all, which always wins.
        weights_bytes: size of the base model's weights, which decides.
        processes: that do the same work on this machine; the cores are divided among them.
    """
    if weights_bytes >= _SMALL_BYTES:
        return wanted or max(1, free_cores() // processes), 1
    return 1, wanted or min(max(1, cores() // processes), _MOST_LANES)


def free_cores(proc_stat: Path = Path("/proc/stat")) -> int:
    """Cores that this process may use and that nobody used in the last tenth of a second."""
    allowed = cores()
    if allowed == 1 or not proc_stat.exists():
        return allowed
    before = _jiffies(proc_stat)
    time.sleep(_SAMPLE_SECONDS)
    after = _jiffies(proc_stat)
    busy, total = after[0] - before[0], after[1] - before[1]
    if total <= 0:
        return allowed
    return max(1, allowed - round(busy / total * (os.cpu_count() or 1)))


def has_native_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies bf16 in hardware; emulated, it is ten times slower than fp32."""
    if not cpuinfo.exists():
        return False
    text = cpuinfo.read_text(encoding="ascii", errors="ignore")
    return "avx512_bf16" in text or "amx_bf16" in text


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _jiffies(proc_stat: Path) -> tuple[int, int]:
    """Busy and total time of all cores since the start of the machine."""
    fields = [
        int(field) for field in proc_stat.read_text(encoding="ascii").split("\n")[0].split()[1:9]
    ]
    total = sum(fields)
    return total - fields[3] - fields[4], total
