"""One tiny base model, three adapters and one running engine for all tests of this folder."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engines.local import LocalEngine
from tests.serving.engines import tiny
from tests.serving.engines.fake_vllm import FakeVllm


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    ranks = {"adp_0000": 4, "adp_0001": 8, "adp_0002": 2}
    return {
        name: tiny.build_adapter(base, root / name, seed, rank)
        for seed, (name, rank) in enumerate(ranks.items(), start=1)
    }


@pytest.fixture(scope="session")
def engine(base: Path, adapters: dict[str, Path]) -> Iterator[LocalEngine]:
    """Running, with the three adapters; tests leave it as they found it."""
    engine = LocalEngine(str(base), threads=1)

    async def begin() -> None:
        await engine.start()
        for name, folder in adapters.items():
            await engine.load(name, folder)

    asyncio.run(begin())
    yield engine
    asyncio.run(engine.stop())


@pytest.fixture
def fake(base: Path) -> Iterator[FakeVllm]:
    """A server that behaves as vLLM does, on the tiny base model."""
    server = FakeVllm(base).start()
    yield server
    server.die()
