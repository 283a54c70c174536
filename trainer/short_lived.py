"""Memory of a process that trains and ends: what the system takes back anyway is not given back twice.

Knows no torch, and changes nothing that is computed. For the processes of `trainer.__main__` alone; a
server lives too long for it.
"""

import ctypes
import gc
import sys

# From mallopt(3) of the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30
# As large as the library allows. What is larger goes back to the system whenever it is freed.
_REUSED_BYTES = 32 * 1024 * 1024
_YOUNG_OBJECTS = 50_000


def begin() -> None:
    """Keep freed memory for the tensors that come next, and look for garbage seldom.

    Tensors of some megabytes come and go at every operation. The C library gives such blocks back to
    the system when they are freed, and each page that comes anew costs a fault. Imports make half a
    million objects that stay, and the collector looks through them again and again.
    """
    gc.set_threshold(_YOUNG_OBJECTS)
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):  # not in musl
            library.mallopt(_MMAP_THRESHOLD, _REUSED_BYTES)
            library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def end() -> None:
    """Spare the interpreter its last search for garbage: all that is left ends with the process."""
    gc.freeze()
