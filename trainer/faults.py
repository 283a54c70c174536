"""Faults of the machine told to people: memory or disk ran out, and what to lower. No torch.

Libraries raise them under many names; here they get one each, with advice.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from feedback.errors import DatabaseFull, HeedError, StorageFull
from feedback.store import Store
from trainer.settings import Plan

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# What safetensors makes of the same fault: its error keeps the number in words only.
_NO_ROOM_TEXT = re.compile(rf"os error ({'|'.join(map(str, _NO_ROOM))})\b")
# torch's allocator on a CPU raises a plain RuntimeError.
_NO_MEMORY_TEXT = ("can't allocate memory", "not enough memory", "Cannot allocate memory")


class OutOfMemory(HeedError):
    """The round does not fit this machine's memory."""

    code = "full"


def is_out_of_memory(fault: BaseException) -> bool:
    """Whether the fault says that memory ran out, on the CPU or on an accelerator."""
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":
        return True
    return isinstance(fault, RuntimeError) and any(text in str(fault) for text in _NO_MEMORY_TEXT)


def is_disk_full(fault: BaseException) -> bool:
    """Whether the fault says that there is no room on the disk."""
    if isinstance(fault, OSError):
        return fault.errno in _NO_ROOM
    return type(fault).__name__ == "SafetensorError" and bool(_NO_ROOM_TEXT.search(str(fault)))


def room(plan: Plan | None) -> str:
    """Return what makes a round fit into memory.

    Args:
        plan: of what trains; None where models are only asked, which goes on by itself with as
            little as one answer at a time.
    """
    if plan is None:
        return (
            "This was not in training, so trainer.micro_batch_tokens does not matter here: lower "
            "trainer.max_new_tokens, or take a smaller base model; or give the machine more memory."
        )
    return (
        f"Lower trainer.micro_batch_tokens (now {plan.micro_batch_tokens}), which cuts the same "
        "steps finer, then trainer.rank, or take a smaller base model; or give the machine more "
        "memory."
    )


def explained(fault: BaseException, plan: Plan | None = None) -> HeedError | None:
    """Return the fault with what to do about it, or None where it is no lack of room.

    Args:
        fault: whatever was raised.
        plan: of what trains; None for whatever else a round does.
    """
    if is_out_of_memory(fault):
        return OutOfMemory(f"Memory ran out. {room(plan)}")
    if isinstance(fault, DatabaseFull):
        return StorageFull(
            "The disk is full: the database could not be written. Free some room in the data "
            "folder and start another round; nothing was published."
        )
    if is_disk_full(fault):
        named = getattr(fault, "filename", None)
        return StorageFull(
            "The disk is full" + (f": {named} could not be written" if named else "") + ". Free "
            "some room in the data folder and start another round; nothing was published."
        )
    return None


@contextmanager
def unrecorded(store: Store, round_id: str | None = None) -> Iterator[None]:
    """Raise that the database is full as the error of a round that cannot be written down.

    Args:
        store: the database.
        round_id: of an open round; None where one is only to be opened.

    Raises:
        StorageFull: names the round and the database.
    """
    try:
        yield
    except DatabaseFull as fault:
        where = store.url.database if store.is_sqlite else "the database"
        full = f"The disk is full: {where} could not be written"
        if round_id is None:
            raise StorageFull(f"{full}, so no round was opened. Free some room first.") from fault
        raise StorageFull(
            f"{full}, and round {round_id} stays open. Free some room; then `heed round run` goes "
            f"on with it, and a server does by itself. `heed round cancel {round_id}` ends it."
        ) from fault


@contextmanager
def told(plan: Plan) -> Iterator[None]:
    """Raise a lack of room within as the error that explains it.

    Raises:
        OutOfMemory: memory ran out.
        StorageFull: the disk is full.
    """
    try:
        yield
    except HeedError:
        raise
    except Exception as fault:
        known = explained(fault, plan)
        if known is None:
            raise
        raise known from fault
