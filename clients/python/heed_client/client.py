"""The blocking client: takes the steps of calls and deliveries with httpx and a thread."""

import atexit
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from heed_client import calls, core
from heed_client.core import Core, Options, StockClient
from heed_client.errors import HeedError
from heed_client.models import Delivered, Feedback, Receipt, Refusal, Said
from heed_client.steps import Ask, Pause, Rest, Step, Steps
from heed_client.verbs import Later, Verbs

T = TypeVar("T")
FLUSH_SECONDS = 30.0
CLOSE_SECONDS = 5.0


def _sleep(step: Pause | Rest) -> bool:
    time.sleep(step.seconds)
    return True


class Heed(Verbs[Receipt]):
    """Tells Heed what people say about its answers. Safe to share between threads.

    `feedback()`, `thumbs_up()`, `correct()` … send now and return the receipt; the same methods of
    `later`, and `enqueue()`, return as soon as it is on the disk, and a thread delivers it.

    Args:
        base_url: as for the OpenAI client; `$HEED_BASE_URL`, or this machine.
        api_key: `$HEED_API_KEY`, or none.
        http_client: sends the requests, where it needs a proxy or certificates of its own; it
            stays yours to close.
        **options: see `Options`.

    Raises:
        Invalid: the address or the key can be none.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        http_client: httpx.Client | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._core = Core(base_url, api_key, options)
        self._http = http_client or httpx.Client()
        self._owns_http = http_client is None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.later = Later(self._enqueue)
        if self._core.has_leftovers:
            self._start()

    @classmethod
    def beside(cls, client: StockClient, **options: Unpack[Options]) -> Self:
        """Return a client for the same address and key as a stock OpenAI client's."""
        return cls(str(client.base_url), client.api_key, **options)

    @property
    def base_url(self) -> str:
        """Where Heed is, with `/v1`."""
        return self._core.base_url

    def send(self, feedback: Feedback) -> Receipt:
        """Send feedback and return its receipt: the server has it on its disk.

        Raises:
            HeedError: it was refused, or not taken after every try.
        """
        return self._run(calls.send(feedback, self._core.retry))

    def receipt(self, feedback_id: str) -> Receipt:
        """Return what became of one piece of feedback.

        Raises:
            NotFound: there is none under this id.
        """
        return self._run(calls.receipt(feedback_id, self._core.retry))

    def withdraw(self, feedback_id: str) -> Receipt:
        """Take a piece of feedback back; twice is the same as once.

        Raises:
            NotFound: there is none under this id.
            Conflict: a round has learned from it, or is about to.
        """
        return self._run(calls.withdraw(feedback_id, self._core.retry))

    def enqueue(self, completion_id: str | None = None, **said: Unpack[Said]) -> str:
        """Keep feedback on the disk and deliver it in the background; returns its event id.

        Raises:
            Invalid: it makes no sense.
            QueueFull, QueueFailed: it was not taken.
        """
        return self.later.feedback(completion_id, **said)

    def enqueue_many(self, feedbacks: Iterable[Feedback]) -> list[str]:
        """Keep many at once, all or none; returns their event ids."""
        self._core.check_usable()
        event_ids = core.enqueue(self._core.queue, list(feedbacks))
        self._start()
        self._wake.set()
        return event_ids

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> Delivered:
        """Deliver all that waits, now.

        Raises:
            HeedError: why something still waits; it stays on the disk.
        """
        return self._run(self._core.delivery.flush(timeout_seconds))

    def waiting(self) -> int:
        """Return how many pieces of feedback are yet to be delivered."""
        return self._core.queue.waiting()

    def refused(self) -> list[Refusal]:
        """Return the queued feedback that the server refused for good, with its reasons."""
        return core.refused(self._core.queue)

    def retry_refused(self) -> int:
        """Queue what was refused once more, the reason mended; returns how many."""
        self._core.check_usable()
        count = core.readmit(self._core.queue)
        self._start()
        self._wake.set()
        return count

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Deliver what can be delivered in this time, then stop; the rest stays on the disk."""
        if not self._core.close():
            return
        atexit.unregister(self.close)
        if self._thread is not None:
            self._stop.set()
            self._wake.set()
            self._thread.join(timeout_seconds)
        # A request that still hangs keeps its connection, and ends with its own timeout.
        if self._owns_http and (self._thread is None or not self._thread.is_alive()):
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _enqueue(self, feedback: Feedback) -> str:
        return self.enqueue_many([feedback])[0]

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            if self._thread is None:
                atexit.register(self.close)
            self._thread = threading.Thread(target=self._deliver, name="heed-client", daemon=True)
            self._thread.start()

    def _deliver(self) -> None:
        self._take(self._core.delivery.forever(), wait=self._rest)

    def _run(self, steps: Steps[T]) -> T:
        self._core.check_usable()
        return self._take(steps)

    def _take(self, steps: Steps[T], wait: Callable[[Pause | Rest], bool] = _sleep) -> T:
        """Take the steps one after another; what a step raises is raised where it was yielded."""
        with closing(steps):
            go_on: Callable[[], Step] = partial(next, steps)
            while True:
                try:
                    step = go_on()
                except StopIteration as end:
                    result: T = end.value
                    return result
                try:
                    go_on = partial(steps.send, self._outcome(step, wait))
                except HeedError as fault:
                    go_on = partial(steps.throw, fault)

    def _outcome(self, step: Step, wait: Callable[[Pause | Rest], bool]) -> Any:
        if isinstance(step, Ask):
            try:
                return core.answer_of(self._http.send(self._core.request(step)))
            except httpx.RequestError as error:
                raise self._core.unreachable(error) from error
        if isinstance(step, Pause | Rest):
            return wait(step)
        return step.work()

    def _rest(self, step: Pause | Rest) -> bool:
        """Wait as the background does."""
        if isinstance(step, Pause):
            self._stop.wait(step.seconds)
        else:
            self._wake.wait(step.seconds)
            self._wake.clear()
        return not self._stop.is_set()
