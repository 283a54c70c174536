"""What the learner finds out about the machine before torch loads."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer import hardware


def test_takes_the_threads_it_is_told() -> None:
    assert hardware.spread(3, weights_bytes=0) == (1, 3)


def test_a_small_model_works_side_by_side_and_a_large_one_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hardware, "free_cores", lambda: 3)
    monkeypatch.setattr(hardware, "cores", lambda: 16)
    assert hardware.spread(None, weights_bytes=0) == (1, 4)
    assert hardware.spread(None, weights_bytes=64 * 1024 * 1024) == (3, 1)
    assert hardware.spread(2, weights_bytes=64 * 1024 * 1024) == (2, 1)


def test_leaves_busy_cores_to_those_who_use_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu 100 0 0 100 0 0 0 0 0 0\n")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    # Between the two looks three of four cores were busy.
    monkeypatch.setattr(time, "sleep", lambda _: stat.write_text("cpu 130 0 0 110 0 0 0 0 0 0\n"))
    assert hardware.free_cores(stat) == 1
    assert hardware.free_cores(tmp_path / "missing") == 4


def test_bf16_is_native_only_where_the_processor_says_so(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("flags : avx2 avx512f\n")
    assert not hardware.has_native_bf16(info)
    info.write_text("flags : avx2 amx_bf16\n")
    assert hardware.has_native_bf16(info)
    assert not hardware.has_native_bf16(tmp_path / "missing")


@pytest.mark.parametrize(
    "start",
    [
        "from trainer import learner; learner.preload()",
        "import trainer.policy",
        "import trainer.attached",
    ],
)
def test_waiting_threads_sleep_from_the_moment_that_torch_loads(start: str) -> None:
    watch = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Watch())
"""
    kept = {key: value for key, value in os.environ.items() if key[:4] not in ("OMP_", "GOMP")}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", watch + start],
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "passive 0\n"
