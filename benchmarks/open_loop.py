"""Requests at moments fixed beforehand, sent by a process that does nothing else.

An open loop: a request is due when it is due, however slow the answers are, and its time runs from
then on, so that a server that falls behind cannot hide it. The bytes are made before the first one is
due, and what is left is one thread around `select`: about 140 µs a request, where asyncio takes more
than that. How late it sends what could be sent is told beside the waits: a client that is late
measures itself. Knows nothing of what is asked.
"""

import gc
import importlib
import os
import pickle
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import CHECKOUT

LEAD_SECONDS = 0.2
"""From when everything is ready to the first request."""
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_MOST_BYTES = 65_536


@dataclass(frozen=True)
class Sent:
    """What came of it, in the order of the requests.

    Attributes:
        began_at: when the first request was due, Unix seconds.
        waits: per request, seconds from when it was due to its whole answer.
        late: per request, seconds from when it was due, and a connection was free, to its sending.
        processor_seconds: what the client itself used while it sent.
    """

    began_at: float
    waits: list[float]
    late: list[float]
    processor_seconds: float


def send(
    address: tuple[str, int],
    requests: Sequence[bytes],
    *,
    per_second: float,
    connections: int,
    expected: int,
) -> Sent:
    """Send requests at a steady rate from a process of their own.

    Args:
        address: host and port of the server.
        requests: HTTP/1.1, complete; the connections are kept.
        per_second: how many are due in a second.
        connections: how many may wait for their answer at once.
        expected: the status that every answer must have.

    Raises:
        RuntimeError: an answer has another status, or the server hung up.
    """
    asked = (address, list(requests), per_second, connections, expected)
    command = [sys.executable, "-P", "-m", "benchmarks.open_loop"]
    done = subprocess.run(
        command,
        input=pickle.dumps(asked),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        check=False,
    )
    if done.returncode:
        raise RuntimeError("the client broke off; it says above why")
    sent: Sent = pickle.loads(done.stdout)
    return sent


def run(
    address: tuple[str, int],
    requests: Sequence[bytes],
    per_second: float,
    connections: int,
    expected: int,
) -> Sent:
    """Send from this process, which should have nothing else to do; see `send`."""
    talks = [_Talk(address) for _ in range(connections)]
    by_socket = {talk.socket: talk for talk in talks}
    free = deque(talks)
    freed_at = 0.0
    waits, late = [0.0] * len(requests), [0.0] * len(requests)
    status = f"HTTP/1.1 {expected} ".encode()
    gc.disable()  # there is no garbage in cycles here, and a pause would be the client's
    began, began_at = time.perf_counter() + LEAD_SECONDS, time.time() + LEAD_SECONDS
    processor = time.process_time()
    following = answered = 0
    while answered < len(requests):
        now = time.perf_counter()
        while free and following < len(requests) and (due := began + following / per_second) <= now:
            talk = free.popleft()
            talk.ask(following, due, requests[following])
            late[following] = now - max(due, freed_at)
            following += 1
        ahead = None
        if free and following < len(requests):
            ahead = max(0.0, began + following / per_second - time.perf_counter())
        # It waits by the microsecond; what waits by the millisecond would never rest in between, and
        # take a core from the server.
        for heard in select.select(by_socket, (), (), ahead)[0]:
            talk = by_socket[heard]
            if talk.heard(status):
                freed_at = time.perf_counter()
                waits[talk.number] = freed_at - talk.due
                free.append(talk)
                answered += 1
    used = time.process_time() - processor
    for talk in talks:
        talk.socket.close()
    return Sent(began_at, waits, late, used)


class _Talk:
    """One connection: a request, then its answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0
        self.due = 0.0
        self._heard = b""

    def ask(self, number: int, due: float, request: bytes) -> None:
        """Send a request."""
        self.number, self.due, self._heard = number, due, b""
        self.socket.sendall(request)

    def heard(self, status: bytes) -> bool:
        """Read what has come; whether the answer is complete."""
        some = self.socket.recv(_MOST_BYTES)
        self._heard += some
        if not some:
            raise RuntimeError("the server hung up")
        end = self._heard.find(_HEAD_END)
        if end < 0:
            return False
        at = self._heard.find(_LENGTH) + len(_LENGTH)
        length = int(self._heard[at : self._heard.find(b"\r", at)])
        if len(self._heard) < end + len(_HEAD_END) + length:
            return False
        if not self._heard.startswith(status):
            raise RuntimeError(f"not {status.decode()}: {self._heard[:500].decode()}")
        return True


if __name__ == "__main__":
    # Found by its name, so that whoever asked can read what it gives back.
    by_name = importlib.import_module("benchmarks.open_loop")
    sys.stdout.buffer.write(pickle.dumps(by_name.run(*pickle.load(sys.stdin.buffer))))
