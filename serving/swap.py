"""Makes the engine serve what the registry says: load, verify, probe, acknowledge, then flip.

A replica that cannot make the new version answer goes on serving the old one and says why.
Knows no HTTP.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

from feedback.errors import Conflict, HeedError, Invalid
from feedback.settings import PROJECT
from feedback.store import Store
from serving.engines.base import BASE, Engine, GenerationRequest, Sampling
from serving.models import ReplicaState
from serving.routing import Route, Router
from trainer import registry
from trainer.models import Adapter, Deployment

log = logging.getLogger("heed.swap")

PROBE = "Hello!"
PROBE_TOKENS = 4
RETRY_SECONDS = 5.0
"""What could not be served is tried again this often: checking it reads every byte of it."""


@dataclass(frozen=True)
class Wanted:
    """A deployment with the adapters it needs, read in one go."""

    deployment: Deployment
    adapters: tuple[Adapter, ...]
    parent_id: str | None


class Swap:
    """One replica's view of the registry. Call `sync` whenever something may have changed."""

    def __init__(self, store: Store, engine: Engine, router: Router, replica_id: str) -> None:
        self._store = store
        self._engine = engine
        self._router = router
        self._replica_id = replica_id
        self._lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self.error: str | None = None  # for anybody to read, so without paths

    async def sync(self) -> Route:
        """Bring the engine to the deployment in force; returns the route that is served then.

        Raises:
            HeedError: the new version cannot be served; the old one still is.
        """
        async with self._lock:
            wanted = await asyncio.to_thread(self._read)
            if wanted is None or wanted.deployment.generation <= self._router.route.generation:
                return self._router.route
            try:
                await self._prepare(wanted)
            except HeedError as fault:
                self.error = _said(wanted, fault)
                await asyncio.to_thread(self._acknowledge, self._router.route, fault.message)
                raise
            self.error = None
            route = Route(
                generation=wanted.deployment.generation,
                live=wanted.deployment.live_id or BASE,
                canary=wanted.deployment.canary_id,
                canary_share=wanted.deployment.canary_share,
            )
            await asyncio.to_thread(self._acknowledge, route, None)
            self._router.flip(route)
            log.info("generation %s is live: %s", route.generation, route.live)
            await self._retire(wanted)
            return route

    async def fall_back(self) -> Route:
        """Serve the youngest ancestor of the live adapter that can answer, else the base model.

        For a start at which `sync` failed: the version served before is not in this process.
        """
        async with self._lock:
            for adapter in await asyncio.to_thread(self._ancestors):
                try:
                    await self._load(adapter)
                    await self._probe(adapter.id)
                except HeedError as fault:
                    log.error("its ancestor cannot be served either: %s", fault.message)
                    continue
                self._router.flip(Route(live=adapter.id))
                break
            await asyncio.to_thread(self._acknowledge, self._router.route, self.error)
            return self._router.route

    async def stop(self) -> None:
        """Wait for no adapter any longer to be let go."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    async def ensure(self, adapter_id: str) -> None:
        """Load an adapter that somebody asks for by name.

        Raises:
            NotFound: there is none.
            Conflict: the gate refused it.
            Invalid: its files are not those that were published.
        """
        if adapter_id == BASE:
            return
        adapter = await asyncio.to_thread(self._servable, adapter_id)
        if adapter_id not in self._engine.loaded():
            async with self._lock:
                await self._load(adapter)

    async def rehearse(self, adapter_id: str) -> None:
        """Load an adapter, check it and let it answer, before every replica is told to serve it.

        Raises:
            NotFound, Conflict, Invalid: as `ensure`; or it gives no answer.
        """
        adapter = await asyncio.to_thread(self._servable, adapter_id)
        async with self._lock:
            # Where it is loaded already, its files are still what a restart would read.
            await asyncio.to_thread(registry.verify, self._store.settings.data_dir, adapter)
            await self._load(adapter)
            await self._probe(adapter.id)

    async def follow(self, poll_seconds: float) -> None:
        """Call `sync` again and again, until cancelled."""
        while True:
            pause_seconds = poll_seconds
            try:
                await self.sync()
            except HeedError as fault:
                log.error("could not follow the registry: %s", fault.message)
                pause_seconds = max(poll_seconds, RETRY_SECONDS)
            except Exception:
                # A follower that died would leave this replica behind for ever, without a word.
                log.exception("could not follow the registry")
                pause_seconds = max(poll_seconds, RETRY_SECONDS)
            await asyncio.sleep(pause_seconds)

    async def _prepare(self, wanted: Wanted) -> None:
        for adapter in wanted.adapters:
            await self._load(adapter)
            await self._probe(adapter.id)

    async def _load(self, adapter: Adapter) -> None:
        if adapter.id in self._engine.loaded():
            return
        if adapter.base_hash != self._engine.base_hash:
            raise Invalid(
                f"Adapter {adapter.id} was trained on {adapter.base_model!r}, which is not the "
                "base model that this replica serves. Set trainer.base_model back, or roll back."
            )
        folder = await asyncio.to_thread(registry.verify, self._store.settings.data_dir, adapter)
        await self._engine.load(adapter.id, folder)

    async def _probe(self, adapter_id: str) -> None:
        request = GenerationRequest(
            request_id=f"probe-{adapter_id}",
            prompt=self._engine.prepare([{"role": "user", "content": PROBE}]),
            adapter=adapter_id,
            sampling=Sampling(max_tokens=PROBE_TOKENS),
        )
        made = 0
        async for chunk in self._engine.generate(request):
            made = chunk.completion_tokens
        if not made:
            raise Invalid(f"Adapter {adapter_id} gave no answer to a probe and is not served.")

    async def _retire(self, wanted: Wanted) -> None:
        """Let old versions go, but for the parent: rolling back to it is a flip.

        Their last answers may take long, or a reader may stall; no swap waits for that.
        """
        keep = {adapter.id for adapter in wanted.adapters} | {wanted.parent_id}
        for adapter_id in self._engine.loaded() - keep:
            task = asyncio.create_task(self._engine.unload(adapter_id))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        await asyncio.sleep(0)  # they have begun, so `loaded()` names none of them any more

    def _read(self) -> Wanted | None:
        with self._store.session() as session:
            deployment = registry.live(session)
            if deployment is None:
                return None
            ids = [name for name in (deployment.live_id, deployment.canary_id) if name]
            adapters = tuple(registry.get(session, name) for name in ids)
            parent_id = adapters[0].parent_id if deployment.live_id else None
            return Wanted(deployment, adapters, parent_id)

    def _servable(self, adapter_id: str) -> Adapter:
        with self._store.session() as session:
            adapter = registry.get(session, adapter_id)
        if adapter.state == "rejected":
            raise Conflict(
                f"Adapter {adapter_id} was refused by the gate and is not served; round "
                f"{adapter.round_id} says why.",
                param="model",
            )
        return adapter

    def _ancestors(self) -> list[Adapter]:
        with self._store.session() as session:
            deployment = registry.live(session)
            live_id = deployment.live_id if deployment else None
            return list(registry.lineage(session, live_id))

    def _acknowledge(self, route: Route, error: str | None) -> None:
        with self._store.session(write=True) as session:
            state = session.get(ReplicaState, (self._replica_id, PROJECT)) or ReplicaState(
                replica_id=self._replica_id, generation=0, acknowledged_at=0
            )
            state.generation = route.generation
            state.live_id = route.live
            state.error = error
            state.acknowledged_at = time.time()
            session.add(state)
            session.commit()


def _said(wanted: Wanted, fault: HeedError) -> str:
    """What is wrong, as far as anybody may read it: a path is for the log, and for the database."""
    ids = ", ".join(adapter.id for adapter in wanted.adapters) or BASE
    why = fault.message.partition(". ")[0].rstrip(".")
    if "/" in why or "\\" in why:
        why = "it cannot be loaded"
    number = wanted.deployment.generation
    return f"Generation {number} ({ids}) is not served here: {why}. This replica's log says more."
