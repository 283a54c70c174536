"""The awaited client: takes the steps of calls and deliveries with httpx and asyncio."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, Unpack

import httpx

from heed_client import calls, core
from heed_client.client import CLOSE_SECONDS, FLUSH_SECONDS
from heed_client.core import Core, Options, StockClient
from heed_client.errors import HeedError
from heed_client.models import Delivered, Feedback, Receipt, Refusal, Said
from heed_client.steps import Ask, Pause, Rest, Step, Steps
from heed_client.verbs import Later, Verbs

T = TypeVar("T")
_Wait: TypeAlias = Callable[[Pause | Rest], Awaitable[bool]]


async def _sleep(step: Pause | Rest) -> bool:
    await asyncio.sleep(step.seconds)
    return True


class AsyncHeed(Verbs[Coroutine[Any, Any, Receipt]]):
    """`Heed` for asyncio, with the same methods and behaviour. Belongs to one event loop.

    What an earlier process left in the queue is delivered from `async with`, or from the first
    thing that is enqueued.

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
        http_client: httpx.AsyncClient | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._core = Core(base_url, api_key, options)
        self._http = http_client or httpx.AsyncClient()
        self._owns_http = http_client is None
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.later = Later(self._enqueue)

    @classmethod
    def beside(cls, client: StockClient, **options: Unpack[Options]) -> Self:
        """Return a client for the same address and key as a stock OpenAI client's."""
        return cls(str(client.base_url), client.api_key, **options)

    @property
    def base_url(self) -> str:
        """Where Heed is, with `/v1`."""
        return self._core.base_url

    async def send(self, feedback: Feedback) -> Receipt:
        """Send feedback and return its receipt: the server has it on its disk.

        Raises:
            HeedError: it was refused, or not taken after every try.
        """
        return await self._run(calls.send(feedback, self._core.retry))

    async def receipt(self, feedback_id: str) -> Receipt:
        """Return what became of one piece of feedback.

        Raises:
            NotFound: there is none under this id.
        """
        return await self._run(calls.receipt(feedback_id, self._core.retry))

    async def withdraw(self, feedback_id: str) -> Receipt:
        """Take a piece of feedback back; twice is the same as once.

        Raises:
            NotFound: there is none under this id.
            Conflict: a round has learned from it, or is about to.
        """
        return await self._run(calls.withdraw(feedback_id, self._core.retry))

    async def enqueue(self, completion_id: str | None = None, **said: Unpack[Said]) -> str:
        """Keep feedback on the disk and deliver it in the background; returns its event id.

        Raises:
            Invalid: it makes no sense.
            QueueFull, QueueFailed: it was not taken.
        """
        return await self.later.feedback(completion_id, **said)

    async def enqueue_many(self, feedbacks: Iterable[Feedback]) -> list[str]:
        """Keep many at once, all or none; returns their event ids."""
        self._core.check_usable()
        event_ids = await _whole(partial(core.enqueue, self._core.queue, list(feedbacks)))
        self._start()
        self._wake.set()
        return event_ids

    async def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> Delivered:
        """Deliver all that waits, now.

        Raises:
            HeedError: why something still waits; it stays on the disk.
        """
        return await self._run(self._core.delivery.flush(timeout_seconds))

    async def waiting(self) -> int:
        """Return how many pieces of feedback are yet to be delivered."""
        return await _whole(self._core.queue.waiting)

    async def refused(self) -> list[Refusal]:
        """Return the queued feedback that the server refused for good, with its reasons."""
        return await _whole(partial(core.refused, self._core.queue))

    async def retry_refused(self) -> int:
        """Queue what was refused once more, the reason mended; returns how many."""
        self._core.check_usable()
        count = await _whole(partial(core.readmit, self._core.queue))
        self._start()
        self._wake.set()
        return count

    async def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Deliver what can be delivered in this time, then stop; the rest stays on the disk."""
        if not self._core.close():
            return
        self._stop.set()
        self._wake.set()
        try:
            if self._task is not None:
                await asyncio.wait([self._task], timeout=timeout_seconds)
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])
            if self._owns_http:
                await self._http.aclose()

    async def __aenter__(self) -> Self:
        if self._core.has_leftovers:
            self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _enqueue(self, feedback: Feedback) -> str:
        return (await self.enqueue_many([feedback]))[0]

    def _start(self) -> None:
        if self._task is None or self._task.done():
            steps = self._core.delivery.forever()
            self._task = asyncio.create_task(self._take(steps, self._rest), name="heed-client")

    async def _run(self, steps: Steps[T]) -> T:
        self._core.check_usable()
        return await self._take(steps)

    async def _take(self, steps: Steps[T], wait: _Wait = _sleep) -> T:
        """Take the steps one after another; what a step raises is raised where it was yielded."""
        with contextlib.closing(steps):
            go_on: Callable[[], Step] = partial(next, steps)
            while True:
                try:
                    step = go_on()
                except StopIteration as end:
                    result: T = end.value
                    return result
                try:
                    go_on = partial(steps.send, await self._outcome(step, wait))
                except HeedError as fault:
                    go_on = partial(steps.throw, fault)

    async def _outcome(self, step: Step, wait: _Wait) -> Any:
        if isinstance(step, Ask):
            try:
                return core.answer_of(await self._http.send(self._core.request(step)))
            except httpx.RequestError as error:
                raise self._core.unreachable(error) from error
        if isinstance(step, Pause | Rest):
            return await wait(step)
        return await _whole(step.work)

    async def _rest(self, step: Pause | Rest) -> bool:
        """Wait as the background does."""
        event = self._stop if isinstance(step, Pause) else self._wake
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), step.seconds)
        if isinstance(step, Rest):
            self._wake.clear()
        return not self._stop.is_set()


async def _whole(work: Callable[[], T]) -> T:
    """Work on the disk in a thread, to its end even where the caller is cancelled meanwhile.

    Otherwise the right to deliver would be given back while a parcel is still being settled.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
