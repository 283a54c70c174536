"""Keeps an engine alive: notices that it died, frees its readers, and starts another in its place.

Wraps whatever a factory makes behind the same protocol. Knows nothing of torch, of HTTP or of which
kind of engine it is; death is what `health()` says, and nothing else is asked of the one inside.
"""

import asyncio
import contextlib
import logging
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feedback.errors import Unavailable
from serving.engines.base import ChatMessage, Chunk, Engine, EngineHealth, GenerationRequest, Prompt
from serving.engines.interruptible import Interruptible
from serving.engines.restarts import Restarts, fault, let_go
from serving.engines.starting import told

log = logging.getLogger("heed.engine")

RELOAD_SECONDS = 60.0
RETRY_SECONDS = 5.0
"""An adapter that could not be loaded again is tried again this often."""


class SupervisedEngine:
    """See `serving.engines.base.Engine`; attributes beyond it are those of the engine inside.

    Args:
        make: returns an engine that is not started; called again after each death.
        max_restarts: attempts within a minute; one more death and it stays down.
        backoff_seconds: pause before the first attempt; doubles with each within the minute.
        max_backoff_seconds: the longest pause.
        poll_seconds: how often the engine's health is looked at.
    """

    def __init__(
        self,
        make: Callable[[], Engine],
        *,
        max_restarts: int = 5,
        backoff_seconds: float = 0.2,
        max_backoff_seconds: float = 10.0,
        poll_seconds: float = 0.2,
    ) -> None:
        self.restarts = 0
        self._make = make
        self._attempts = Restarts(max_restarts, backoff_seconds, max_backoff_seconds)
        self._poll_seconds = poll_seconds
        self._latest = make()
        self._inner: Engine | None = None
        self._detail = "the engine has not been started"
        self._history = ""
        self._base_hash = ""
        self._context_tokens = 0
        self._folders: dict[str, Path] = {}
        self._lost: dict[str, str] = {}
        self._changes: set[asyncio.Task[None]] = set()
        self._answers: weakref.WeakSet[Interruptible] = weakref.WeakSet()
        self._watching: asyncio.Task[None] | None = None
        self._look = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of this class, and not there yet
            raise AttributeError(name)
        return getattr(self._latest, name)

    @property
    def base_hash(self) -> str:
        """SHA-256 that identifies the base model (hex); known from the first start on.

        Raises:
            Unavailable: the engine has not been started.
        """
        return self._base_hash or self._alive().base_hash

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together; known from the first start on.

        Raises:
            Unavailable: the engine has not been started.
        """
        return self._context_tokens or self._alive().context_tokens

    async def start(self) -> None:
        """Start the engine, and watch it from then on. A first start that fails is not repeated.

        Raises:
            Invalid: as the engine's own `start`.
        """
        if self._watching is not None:
            return
        self._detail = "starting"
        try:
            self._inner = await self._started(self._latest)
        except BaseException as error:
            self._detail = told(error, "failed to start")
            raise
        self._base_hash = self._inner.base_hash
        self._context_tokens = self._inner.context_tokens
        self._watching = asyncio.create_task(self._watch(), name="heed-engine-watch")

    async def stop(self) -> None:
        """Stop watching, then the engine; requests in flight end with `Unavailable`."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        inner, self._inner = self._inner, None
        self._detail = "the engine has stopped; ask again in a moment"
        if inner is not None:
            await let_go(inner)
        self._interrupt()
        self._folders.clear()
        self._lost.clear()

    def prepare(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Render a conversation and count it.

        Raises:
            Invalid: as the engine's own `prepare`.
            Unavailable: the engine is being restarted, or stays down.
        """
        return self._alive().prepare(messages)

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        """Yield the answer piece by piece; ends with an error where the engine dies.

        Raises:
            NotFound: the adapter is not loaded.
            Unavailable: the engine is being restarted, stays down, or could not load the adapter
                again.
        """
        inner = self._alive()
        if (reason := self._lost.get(request.adapter)) is not None:
            raise Unavailable(f"Adapter {request.adapter} could not be loaded again: {reason}")
        try:
            chunks = inner.generate(request)
        except Unavailable:
            self._look.set()
            raise
        answer = Interruptible(chunks, self._look.set)
        self._answers.add(answer)
        return answer

    async def load(self, adapter_id: str, folder: Path) -> None:
        """Make an adapter available, now and after every restart.

        Raises:
            Invalid: the folder is no adapter for this base model; says why.
            Unavailable: the engine is not running, or died meanwhile.
        """
        inner = self._alive()
        before = self._folders.get(adapter_id)
        self._folders[adapter_id] = folder  # before, so that a restart meanwhile cannot miss it
        try:
            await self._unless_it_dies(inner.load(adapter_id, folder))
        except BaseException:
            if before is None:
                self._folders.pop(adapter_id, None)
            raise
        self._lost.pop(adapter_id, None)

    async def unload(self, adapter_id: str) -> None:
        """Let an adapter go once its last request has ended; it does not come back by itself."""
        self._folders.pop(adapter_id, None)
        self._lost.pop(adapter_id, None)
        if self._inner is not None:
            with contextlib.suppress(Unavailable):  # gone with the engine that held it
                await self._unless_it_dies(self._inner.unload(adapter_id))

    def loaded(self) -> frozenset[str]:
        """Adapters that can answer now, or will once the engine is back."""
        return self._inner.loaded() if self._inner else frozenset(self._folders)

    def health(self) -> EngineHealth:
        """What the engine says of itself, and what has happened to its predecessors."""
        if self._inner is None:
            return EngineHealth(False, self._detail)
        found = self._inner.health()
        detail = f"{found.detail}{self._history}"
        for adapter_id, reason in self._lost.items():
            detail += f"; adapter {adapter_id} could not be loaded again: {reason}"
        return replace(found, detail=detail)

    async def _watch(self) -> None:
        retry_at = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._look.wait()
            self._look.clear()
            inner = self._inner
            assert inner is not None  # only this task and stop() take it away
            cause = fault(inner)
            if cause is not None and not await self._replace(inner, cause):
                return
            if self._lost and time.monotonic() >= retry_at:
                retry_at = time.monotonic() + RETRY_SECONDS
                await self._reload(self._alive(), list(self._lost))

    async def _replace(self, dead: Engine, cause: str) -> bool:
        """Bring up another engine; returns whether there is one."""
        log.error("the engine died: %s", cause)
        self._inner = None
        self._detail = f"the engine died ({cause}) and is being restarted; ask again in a moment"
        self._interrupt()
        await let_go(dead)
        while not self._attempts.spent:
            await self._attempts.pause()
            try:
                fresh = await self._started(self._make())
            # Whatever keeps it from starting is a reason to try again, within the bounds above.
            except Exception as error:  # noqa: BLE001
                cause = told(error)
                self._detail = f"the engine does not start again ({cause}); trying on"
                log.error("restart %d within a minute failed: %s", self._attempts.lately, cause)
                continue
            self._inner = self._latest = fresh
            self.restarts += 1
            times = "once" if self.restarts == 1 else f"{self.restarts} times"
            self._history = f"; restarted {times}, last at {time.strftime('%H:%M:%S')} ({cause})"
            log.warning("the engine answers again, with %d adapters", len(fresh.loaded()))
            return True
        self._detail = (
            f"the engine stays down after {self._attempts.lately} restarts within a minute "
            f"({cause}); restart Heed once the cause is removed"
        )
        log.critical(self._detail)
        return False

    async def _started(self, fresh: Engine) -> Engine:
        """Start an engine, with every adapter that there was."""
        try:
            await fresh.start()
            if self._base_hash and fresh.base_hash != self._base_hash:
                raise Unavailable(
                    "The base model's files have changed, so adapters no longer fit. Put them "
                    "back, or restart Heed."
                )
            await self._reload(fresh, list(self._folders))
            if (cause := fault(fresh)) is not None:
                raise Unavailable(f"The engine died while its adapters were loaded: {cause}")
        except BaseException:
            await let_go(fresh)
            raise
        return fresh

    async def _reload(self, engine: Engine, adapter_ids: Sequence[str]) -> None:
        for adapter_id in adapter_ids:
            folder = self._folders.get(adapter_id)
            if folder is None:  # let go meanwhile
                continue
            try:
                async with asyncio.timeout(RELOAD_SECONDS):
                    await engine.load(adapter_id, folder)
                self._lost.pop(adapter_id, None)
            # The others must not wait for the one that cannot be had.
            except Exception as error:  # noqa: BLE001
                reason = told(error)
                if self._lost.get(adapter_id) != reason:
                    log.error("adapter %s could not be loaded again: %s", adapter_id, reason)
                self._lost[adapter_id] = reason
                continue
            if adapter_id not in self._folders:
                await engine.unload(adapter_id)

    async def _unless_it_dies(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._changes.add(task)
        try:
            await asyncio.wait({task})
        finally:
            self._changes.discard(task)
            task.cancel()  # where this wait itself was cancelled
        if task.cancelled():
            raise Unavailable(self._said())
        task.result()

    def _interrupt(self) -> None:
        """Free everybody who waits for the engine that is gone."""
        for answer in list(self._answers):
            answer.interrupt(self._said())
        for change in self._changes:
            change.cancel()

    def _alive(self) -> Engine:
        if self._inner is None:
            raise Unavailable(self._said())
        return self._inner

    def _said(self) -> str:
        return f"{self._detail[0].upper()}{self._detail[1:]}."
