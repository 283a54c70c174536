"""A process that trains keeps the memory it has, and leaves without a last look through it."""

import subprocess
import sys

import pytest

FAULTS = """
import gc, resource, sys
from trainer import short_lived
if sys.argv[1] == "kept":
    short_lived.begin()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    return len([b"x" * (16 << 20) for _ in range(4)])
step()
before = faults()
for _ in range(10):
    step()
print(faults() - before, gc.get_threshold()[0])
"""
ENDING = """
import gc
from trainer import __main__
assert __main__.main(["nothing", "known"]) == 2
print(gc.get_freeze_count())
"""


def said(code: str, *arguments: str) -> list[int]:
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_what_was_freed_is_used_again() -> None:
    """Four blocks of sixteen megabytes, ten times: 16,384 pages of four kilobytes each time, or once."""
    faults, young = said(FAULTS, "kept")
    assert faults < 10_000
    assert young > 10_000


def test_what_is_left_at_the_end_is_not_looked_through() -> None:
    assert said(ENDING)[0] > 1_000
