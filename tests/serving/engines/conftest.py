"""One tiny base model, three adapters, one running engine, and a vLLM: pretended, and perhaps real."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from serving.engines.local import LocalEngine
from tests.serving.engines import tiny
from tests.serving.engines.fake_vllm import FakeVllm
from tests.serving.engines.reaching import REAL_BASE, REAL_KEY, REAL_URL, Served
from trainer import base_folder


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


@pytest.fixture(scope="session")
def real_adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, base = tmp_path_factory.mktemp("real"), base_folder.resolve(REAL_BASE)
    adapters = {name: folder / name for name in ("adp_0000", "adp_0001")}
    for seed, each in enumerate(adapters.values(), start=1):
        weights = tiny.build_adapter(base, each, seed, rank=8) / "adapter_model.safetensors"
        # A trained model is not moved by a little noise.
        louder = {name: 4 * tensor for name, tensor in load_file(weights).items()}
        save_file(louder, weights, metadata={"format": "pt"})
    return adapters


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.vllm)])
def served(request: pytest.FixtureRequest) -> Served:
    if request.param == "fake":
        fake: FakeVllm = request.getfixturevalue("fake")
        fake.token_seconds = 0.002
        adapters = request.getfixturevalue("adapters")
        return Served(fake.url, None, str(fake.base), adapters, fake.shared)
    if not REAL_URL:
        pytest.skip("HEED_TEST_VLLM_URL names no vLLM server")
    adapters = request.getfixturevalue("real_adapters")
    shared = next(iter(adapters.values())).parent
    return Served(REAL_URL, REAL_KEY, REAL_BASE, adapters, shared)
