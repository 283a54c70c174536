"""Reaching a vLLM from a test: the pretended one, or the real one that the environment names."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.engines.vllm import VllmEngine
from tests.serving.engines.fake_vllm import FakeVllm
from trainer import base_folder

# Read here, for no setting of Heed's is left in the environment of a test.
REAL_URL = os.environ.get("HEED_TEST_VLLM_URL")
REAL_BASE = os.environ.get("HEED_TEST_VLLM_BASE", base_folder.STARTER)
REAL_KEY = os.environ.get("HEED_TEST_VLLM_KEY")
PATIENCE_SECONDS = 60.0
REAL_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Served:
    """A vLLM, and what is needed to speak with it."""

    url: str
    key: str | None
    base: str
    adapters: dict[str, Path]
    shared: Path


@asynccontextmanager
async def started(
    fake: FakeVllm, adapters: dict[str, Path] | None = None, **options: Any
) -> AsyncIterator[VllmEngine]:
    """An engine on the pretended server, as `reaching`."""
    served = Served(fake.url, fake.key, str(fake.base), adapters or {}, fake.shared)
    async with reaching(served, **options) as engine:
        yield engine


@asynccontextmanager
async def reaching(served: Served, **options: Any) -> AsyncIterator[VllmEngine]:
    """An engine with every adapter loaded; it lets them go at the end, and nothing hangs."""
    async with asyncio.timeout(
        REAL_PATIENCE_SECONDS if served.url == REAL_URL else PATIENCE_SECONDS
    ):
        chosen = {"start_seconds": 0.5, **options}
        engine = VllmEngine(served.base, served.url, served.shared, served.key, **chosen)
        await engine.start()
        try:
            for name, folder in served.adapters.items():
                await engine.load(name, folder)
            yield engine
            if engine.health().ready:
                await asyncio.gather(*(engine.unload(name) for name in engine.loaded()))
        finally:
            await engine.stop()


async def until(holds: Callable[[], object]) -> None:
    """Look until something holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.005)
