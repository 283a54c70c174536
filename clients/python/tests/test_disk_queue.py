"""The queue on disk: what was acknowledged is there, whatever happened to whoever wrote it."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_until

from heed_client import durable
from heed_client.disk_queue import PARCEL_BYTES, DiskQueue, Parcel
from heed_client.errors import QueueFailed, QueueFull
from heed_client.file_lock import try_to_lock

PLENTY = 64 * 1024 * 1024


@pytest.fixture
def queue(tmp_path: Path) -> DiskQueue:
    return DiskQueue(tmp_path / "a" / "queue", max_bytes=PLENTY)


def taken(queue: DiskQueue) -> Parcel:
    parcel = queue.take(queue.seal())
    assert parcel is not None
    return parcel


def test_lines_come_out_as_they_went_in_and_stay_until_they_are_settled(queue: DiskQueue) -> None:
    queue.append([b"one", b"two"])
    queue.append([b"three"])
    assert queue.waiting() == 3
    again = DiskQueue(queue.folder, max_bytes=PLENTY)
    assert list(taken(again).lines) == [b"one", b"two", b"three"]
    assert list(taken(queue).lines) == [b"one", b"two", b"three"]
    queue.settle(taken(queue), again=[], refused=[])
    assert queue.waiting() == 0
    assert queue.take(queue.seal()) is None
    assert {path.name for path in queue.folder.iterdir()} == {"lock"}


def test_only_its_owner_may_read_it(queue: DiskQueue) -> None:
    queue.append([b"one"])
    assert queue.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in queue.folder.iterdir()} == {0o600}


def test_what_is_to_go_again_queues_up_at_the_end(queue: DiskQueue) -> None:
    queue.append([b"one", b"two"])
    first = taken(queue)
    queue.append([b"three"])
    queue.settle(first, again=[b"one"], refused=[b'{"kept": 2}'])
    assert list(taken(queue).lines) == [b"three", b"one"]
    assert queue.refused() == [b'{"kept": 2}']
    assert queue.readmit(lambda kept: kept.replace(b"kept", b"sent")) == 1
    assert queue.refused() == []
    assert queue.waiting() == 3


def test_parcels_are_small_and_leave_in_order(queue: DiskQueue) -> None:
    lines = [b"%06d" % number + b"x" * 4000 for number in range(1000)]
    for start in range(0, len(lines), 10):
        queue.append(lines[start : start + 10])
    highest = queue.seal()
    seen: list[bytes] = []
    while (parcel := queue.take(highest)) is not None:
        assert sum(map(len, parcel.lines)) < 1.1 * PARCEL_BYTES
        seen += parcel.lines
        queue.settle(parcel, again=[], refused=[])
    assert highest == 4
    assert seen == lines


@pytest.mark.parametrize("torn", [b"to", b"x" * 10_000, b"\x00" * 5000, b"\n\n  \nto"])
def test_a_line_that_was_never_finished_was_never_acknowledged(
    queue: DiskQueue, torn: bytes
) -> None:
    queue.append([b"one"])
    with (queue.folder / "incoming.ndjson").open("ab") as file:
        file.write(torn)
    assert queue.waiting() == 1
    queue.append([b"two"])
    assert list(taken(queue).lines) == [b"one", b"two"]


def test_a_torn_first_line_leaves_nothing(queue: DiskQueue) -> None:
    queue.append([b"one"])
    (queue.folder / "incoming.ndjson").write_bytes(b"tor")
    queue.append([b"two"])
    assert list(taken(queue).lines) == [b"two"]


def test_a_full_disk_is_told_and_takes_nothing_half(
    queue: DiskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.append([b"one"])
    write = os.write

    def full(door: int, content: bytes) -> int:
        if len(content) > 4:
            return write(door, content[:4])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(QueueFailed, match="No space left"):
            queue.append([b"a long line", b"and another"])
    assert (queue.folder / "incoming.ndjson").read_bytes() == b"one\n"
    queue.append([b"two"])
    assert list(taken(queue).lines) == [b"one", b"two"]


def test_what_the_disk_did_not_keep_is_not_acknowledged(
    queue: DiskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(door: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(QueueFailed):
            queue.append([b"one"])
    assert queue.waiting() == 0


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QueueFailed, match="file"):
        DiskQueue(tmp_path / "file" / "queue", max_bytes=PLENTY).append([b"one"])


def test_it_holds_no_more_than_it_may_and_takes_all_or_none(queue: DiskQueue) -> None:
    small = DiskQueue(queue.folder, max_bytes=20)
    small.append([b"x" * 9])
    with pytest.raises(QueueFull, match="queue_max_bytes"):
        small.append([b"y" * 4, b"z" * 5])
    small.append([b"y" * 9])
    assert small.waiting() == 2
    with pytest.raises(QueueFull):
        small.append([b""])
    small.settle(taken(small), again=[], refused=[json.dumps("x" * 16).encode()])
    with pytest.raises(QueueFull, match=r"19 of them refused .*refused\.ndjson"):
        small.append([b"z"])


def test_threads_that_come_together_share_one_fsync(
    queue: DiskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.append([b"first"])
    fsync, synced = os.fsync, []
    begun, all_wait = threading.Event(), threading.Event()

    def slow(door: int) -> None:
        begun.set()
        assert all_wait.wait(20)
        synced.append(door)
        fsync(door)

    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=queue.append, args=([b"%d" % n],)) for n in range(16)]
    threads[0].start()
    assert begun.wait(20)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(queue._entries) == 15)
    all_wait.set()
    for thread in threads:
        thread.join(20)
    assert len(synced) == 2
    assert queue.waiting() == 17


def test_nobody_takes_an_interrupted_write_for_success(
    queue: DiskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes for all may be the one that Ctrl-C ends."""
    begun, other_waits, faults = threading.Event(), threading.Event(), []

    def interrupted(entries: object) -> None:
        begun.set()
        raise KeyboardInterrupt

    def other() -> None:
        try:
            queue.append([b"other"])
        except QueueFailed as fault:
            faults.append(fault)

    with monkeypatch.context() as patch:
        patch.setattr(queue, "_write", interrupted)
        with queue._writing:  # both are waiting when the first begins
            threads = [threading.Thread(target=other) for _ in range(2)]
            patch.setattr(threading, "excepthook", lambda _: other_waits.set())
            for thread in threads:
                thread.start()
            wait_until(lambda: len(queue._entries) == 2)
        for thread in threads:
            thread.join(20)
    assert begun.is_set() and other_waits.is_set()
    assert len(faults) == 1
    assert queue.waiting() == 0


def test_one_delivers_at_a_time_and_a_child_keeps_no_lock(queue: DiskQueue) -> None:
    turn = queue.try_to_deliver()
    assert turn is not None
    assert DiskQueue(queue.folder, max_bytes=PLENTY).try_to_deliver() is None
    # As after a fork: another process holds a copy of the descriptor.
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[turn._door]) as child:
        turn.release()
        other = try_to_lock(queue.folder / "delivering.lock")
        assert other is not None
        other.release()
        child.communicate(b"\n")


def test_whatever_changes_the_folder_holds_its_lock(
    queue: DiskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a process could append to a file that another has just read, and removes."""
    queue.append([b"first"])
    changes = []

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            assert try_to_lock(queue.folder / "lock") is None, f"{name} without the lock"
            changes.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    watch(durable, "append")
    watch(durable, "whole_lines")
    watch(os, "rename")
    watch(os, "unlink")
    queue.append([b"one"])
    queue.settle(taken(queue), again=[b"one"], refused=[b"first"])
    queue.readmit(lambda kept: kept)
    queue.settle(taken(queue), again=[], refused=[])
    assert queue.waiting() == 0
    assert set(changes) == {"append", "whole_lines", "rename", "unlink"}


def test_files_of_other_names_are_left_alone(queue: DiskQueue) -> None:
    queue.append([b"one"])
    strange = queue.folder / "outgoing-notes.ndjson"
    strange.write_text("mine\n")
    queue.settle(taken(queue), again=[], refused=[])
    assert queue.take(queue.seal()) is None
    assert strange.exists()


def test_lines_are_found_from_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    long = b"x" * 50_000
    durable.append(path, long + b"\n")
    with path.open("ab") as file:
        file.write(long)
    durable.append(path, b"y\n")
    assert durable.whole_lines(path) == [long, b"y"]
