"""Keeps one vLLM server as Heed wants it: there, with the right base model, with every adapter.

vLLM forgets its adapters when it restarts. This remembers them, looks whether it lives, and gives
them back. Knows nothing of adapter ids, of requests or of what an answer says.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feedback.errors import HeedError, Invalid, Unavailable
from serving.engines.vllm_client import Lost, Served, VllmClient
from serving.engines.vllm_null import NullAdapter

log = logging.getLogger("heed.vllm")

_SAMPLE = "Crème brûlée: 3 × 4 = 12,\n\tnaïve 東京 🫖 don't"
"""Text that two tokenizers are unlikely to split alike, unless they are the same."""
_RETRY_SECONDS = 0.1


class VllmLink:
    """The way to one vLLM; lives in one event loop, from `open` to `close`.

    Args:
        client: speaks to it.
        tokenizer: that of the base model that it has to serve.
        null: loaded before anything else, and never let go.
        watch_seconds: pause between two looks at it.
        reconnect_seconds: how long one that went away is waited for.
        silence_seconds: after so long without a sign of life, `on_silence` is called.
        on_silence: ends what is in flight; is told why.
    """

    def __init__(
        self,
        client: VllmClient,
        tokenizer: Any,
        null: NullAdapter,
        *,
        watch_seconds: float,
        reconnect_seconds: float,
        silence_seconds: float,
        on_silence: Callable[[HeedError], None],
    ) -> None:
        self.client, self.null = client, null
        self.ready, self.detail = False, f"waiting for vLLM at {client.url}"
        self._tokenizer = tokenizer
        self._watch_seconds = watch_seconds
        self._reconnect_seconds = reconnect_seconds
        self._silence_seconds = silence_seconds
        self._on_silence = on_silence
        self._served: Served | None = None
        self._wanted: dict[str, Path] = {}
        self._changing = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def served(self) -> Served:
        """What vLLM held when it was last looked at.

        Raises:
            Unavailable: it has not been reached yet.
        """
        if self._served is None:
            raise Unavailable(self.detail)
        return self._served

    async def open(self, patience_seconds: float) -> None:
        """Wait for vLLM, check that it can do what is needed, and keep an eye on it from then on.

        Raises:
            Invalid: it serves another base model, or no adapters.
            Unavailable: it did not come up in time, or the null adapter cannot be written.
        """
        log.info("%s", self.detail)
        # A vLLM that holds it already reads it again when it has put it out of its memory.
        await asyncio.to_thread(self.null.write)
        await self._restore_within(patience_seconds)
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Look no longer, and let go of every connection; vLLM keeps what it holds."""
        tasks = [task for task in (self._watcher, self._reconnecting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.ready = False
        await self.client.close()

    def holds(self, name: str) -> bool:
        """Whether an adapter was loaded under this name, and can be loaded again."""
        return name in self._wanted

    async def load(self, name: str, folder: Path) -> None:
        """Load an adapter; a second call is a no-op.

        Raises:
            Invalid: vLLM refuses it; says why.
            Lost: vLLM is away.
        """
        async with self._changing:
            if name not in self._wanted:
                await self.client.load(name, folder)
                self._wanted[name] = folder

    async def unload(self, name: str) -> None:
        """Let an adapter go; unknown names are a no-op."""
        async with self._changing:
            if self._wanted.pop(name, None) is not None:
                with contextlib.suppress(Lost):  # one that is away has forgotten it already
                    await self.client.unload(name)

    async def reconnect(self) -> None:
        """Bring vLLM back to what it held; the many answers that are lost at once share one look.

        Raises:
            Lost: it stays away.
            Invalid: it serves another base model now.
            Unavailable: the null adapter cannot be loaded again.
        """
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = asyncio.create_task(self._restore_within(self._reconnect_seconds))
            # Whoever waits for it may be gone by then.
            self._reconnecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._reconnecting)

    async def _restore_within(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            try:
                return await self._restore()
            except Lost as fault:
                if time.monotonic() >= until:
                    self._away(fault)
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    async def _restore(self) -> None:
        served = await self.client.served()
        forgotten = {self.null.name, *self._wanted} - served.adapters
        if forgotten or not self.ready or served.root != self.served.root:
            await self._check_same(served)
        if self.null.name in forgotten:
            await self._load_null()
        for name in sorted(forgotten - {self.null.name}):
            async with self._changing:
                await self._load_again(name)
        self._served = served
        self.ready, self.detail = True, "ready"

    async def _load_null(self) -> None:
        try:
            await asyncio.to_thread(self.null.write)
            await self.client.load(self.null.name, self.null.folder)
        except Lost:
            raise
        except HeedError as fault:
            if self._served is None:
                raise  # read by whoever starts Heed
            # Read by whoever asks for an answer, so without paths.
            told = Unavailable(
                f"vLLM at {self.client.url} has lost the adapter through which it answers for the "
                "base model, and cannot load it again; Heed's log says why."
            )
            if self.detail != told.message:
                log.error("%s", fault.message)
            self._away(told)
            raise told from fault

    async def _load_again(self, name: str) -> None:
        if (folder := self._wanted.get(name)) is None:
            return  # let go meanwhile
        try:
            await self.client.load(name, folder)
            log.warning("vLLM had forgotten adapter %s; it is loaded again", name)
        except Invalid as fault:
            del self._wanted[name]
            log.error("adapter %s cannot be loaded again: %s", name, fault.message)

    async def _check_same(self, served: Served) -> None:
        there = await self.client.tokenize(_SAMPLE)
        known = self._served or served
        if (
            there == self._tokenizer.encode(_SAMPLE, add_special_tokens=False)
            and served.root == known.root
        ):
            return
        fault = Invalid(
            f"vLLM at {self.client.url} serves {served.root}, which is not the base model that Heed "
            "has here. Start vLLM with that one, or set trainer.base_model and restart Heed.",
            param="base_model",
        )
        self._away(fault)
        raise fault

    def _away(self, fault: HeedError) -> None:
        if self.ready:
            log.error("%s", fault.message)
        self.ready, self.detail = False, fault.message

    async def _watch(self) -> None:
        """Look again and again, until cancelled."""
        failing_since: float | None = None
        while True:
            await asyncio.sleep(self._watch_seconds)
            try:
                await self._restore()
                failing_since = None
            except HeedError as fault:
                now = time.monotonic()
                # Once may be a busy moment; what has really gone is noticed by whoever asks it.
                if failing_since is not None:
                    self._away(fault)
                failing_since = now if failing_since is None else failing_since
                if now - failing_since >= self._silence_seconds:
                    self._on_silence(fault)
            except Exception:
                # A watcher that died would never notice a restart again.
                log.exception("could not look at vLLM")
