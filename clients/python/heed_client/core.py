"""What the blocking and the awaited client have in common: options, addresses, the queue's place.

Does no I/O and takes no step.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypedDict

import httpx

from heed_client.backoff import Retry
from heed_client.delivery import Delivery, OnRefused, OnTaken, line_of
from heed_client.disk_queue import DiskQueue
from heed_client.errors import Closed, Invalid, QueueFailed, TimedOut, TooLarge, Unreachable
from heed_client.models import Feedback, Refusal
from heed_client.posting import BATCH_BYTES
from heed_client.steps import Answer, Ask

VERSION = "0.1.0"
DEFAULT_URL = "http://127.0.0.1:8642/v1"
QUEUE_MAX_BYTES = 64 * 1024 * 1024


class Options(TypedDict, total=False):
    """What both clients can be told besides address and key.

    Args:
        timeout_seconds: for one try of one request; 10.
        retry: how often and when to try again.
        queue_dir: the folder of the queue on disk; by default one for each `base_url` under
            `$XDG_STATE_HOME` (or `~/.local/state`), so that the next run sends what this one left.
        queue_max_bytes: what the queue may hold, refused feedback included; 64 MiB.
        linger_seconds: how long to gather what is enqueued before it is sent; 0.5.
        on_refused: called for each piece of queued feedback that the server will never take.
        on_taken: called for each that it took, with its event id and the feedback's id.
    """

    timeout_seconds: float
    retry: Retry
    queue_dir: Path | str | None
    queue_max_bytes: int
    linger_seconds: float
    on_refused: OnRefused | None
    on_taken: OnTaken | None


class StockClient(Protocol):
    """As much of the stock OpenAI client as says where it talks to."""

    @property
    def base_url(self) -> object: ...
    @property
    def api_key(self) -> str: ...


@dataclass(frozen=True)
class _Told:
    """The options with their defaults."""

    timeout_seconds: float = 10.0
    retry: Retry = field(default_factory=Retry)
    queue_dir: Path | str | None = None
    queue_max_bytes: int = QUEUE_MAX_BYTES
    linger_seconds: float = 0.5
    on_refused: OnRefused | None = None
    on_taken: OnTaken | None = None


class Core:
    """One client's options, and what is built from them.

    Raises:
        Invalid: the address or the key can be none.
    """

    def __init__(self, base_url: str | None, api_key: str | None, options: Options) -> None:
        told = _Told(**options)
        self.base_url = _url(base_url or os.environ.get("HEED_BASE_URL") or DEFAULT_URL)
        self.retry = told.retry
        self.timeout = httpx.Timeout(told.timeout_seconds)
        self._key = api_key or os.environ.get("HEED_API_KEY") or None
        if self._key is not None and not (self._key.isascii() and self._key.isprintable()):
            raise Invalid("The API key has characters that no header can carry.", param="api_key")
        self._told = told
        self._process = os.getpid()
        self._closed = False

    @cached_property
    def queue(self) -> DiskQueue:
        """The queue on disk; its folder is made when something is enqueued.

        Raises:
            QueueFailed: nobody named a folder, and whoever runs this has no home.
        """
        folder = self._queue_dir()
        if folder is None:
            raise QueueFailed("There is no home folder for the queue; name one with `queue_dir`.")
        return DiskQueue(folder.absolute(), max_bytes=self._told.queue_max_bytes)

    @cached_property
    def delivery(self) -> Delivery:
        """What empties it."""
        return Delivery(
            self.queue,
            self.retry,
            linger_seconds=self._told.linger_seconds,
            on_refused=self._told.on_refused,
            on_taken=self._told.on_taken,
        )

    @property
    def has_leftovers(self) -> bool:
        """Whether something is there that an earlier process left."""
        return self._queue_dir() is not None and self.queue.is_there()

    def request(self, step: Ask) -> httpx.Request:
        """Return a step's request."""
        headers = {"User-Agent": f"heed-client/{VERSION}"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        if step.content:
            headers["Content-Type"] = step.kind
        return httpx.Request(
            step.method,
            self.base_url + step.path,
            headers=headers,
            content=step.content,
            extensions={"timeout": self.timeout.as_dict()},
        )

    def unreachable(self, error: httpx.RequestError) -> Unreachable:
        """Return the error for a request that got no answer."""
        why = str(error) or type(error).__name__
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            return TimedOut(
                f"No answer from {self.base_url} within {self._told.timeout_seconds:g} s; "
                "`timeout_seconds` allows more."
            )
        return Unreachable(f"No answer from {self.base_url}: {why}. Is Heed up?")

    def check_usable(self) -> None:
        """Refuse work for a client that cannot do it.

        Raises:
            Closed: it was closed, or made by another process: threads and connections do not
                survive a fork.
        """
        if self._closed:
            raise Closed("This client was closed; make a new one.")
        if os.getpid() != self._process:
            raise Closed("This client was made before a fork; make one in each process.")

    def close(self) -> bool:
        """Let nothing more in; returns whether it was open."""
        was_open, self._closed = not self._closed, True
        return was_open and os.getpid() == self._process

    def _queue_dir(self) -> Path | None:
        if self._told.queue_dir is not None:
            return Path(self._told.queue_dir)
        state = os.environ.get("XDG_STATE_HOME")
        try:
            folder = Path(state) if state else Path.home() / ".local" / "state"
        except RuntimeError:  # as in containers whose user has no name
            return None
        return folder / "heed-client" / hashlib.sha256(self.base_url.encode()).hexdigest()[:16]


def answer_of(response: httpx.Response) -> Answer:
    """Return an answer that has been read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


def lines_of(feedbacks: Sequence[Feedback]) -> list[bytes]:
    """Return the lines to enqueue.

    Raises:
        TooLarge: one alone is more than a batch may be.
    """
    lines = [feedback.line() for feedback in feedbacks]
    longest = max(map(len, lines), default=0)
    if longest >= BATCH_BYTES:
        raise TooLarge(f"One piece of feedback has {longest:,} bytes; {BATCH_BYTES:,} is too many.")
    return lines


def enqueue(queue: DiskQueue, feedbacks: Sequence[Feedback]) -> list[str]:
    """Keep feedback on the disk; returns the event ids."""
    if feedbacks:
        queue.append(lines_of(feedbacks))
    return [feedback.event_id for feedback in feedbacks]


def refused(queue: DiskQueue) -> list[Refusal]:
    """Return what the server refused for good; what a crash made come twice comes once."""
    found = [Refusal.model_validate_json(line) for line in queue.refused()]
    return list({each.event_id or id(each): each for each in found}.values())


def readmit(queue: DiskQueue) -> int:
    """Queue what was refused once more."""
    return queue.readmit(line_of)


def _url(said: str) -> str:
    try:
        url = httpx.URL(said.strip().rstrip("/"))
    except httpx.InvalidURL as error:
        raise Invalid(f"{said!r} is no address: {error}.", param="base_url") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise Invalid(
            f"{said!r} is no address; it looks like {DEFAULT_URL}, as for the OpenAI client.",
            param="base_url",
        )
    whole = str(url).rstrip("/")
    return whole if whole.endswith("/v1") else f"{whole}/v1"
