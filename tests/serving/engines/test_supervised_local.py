"""The supervisor around the engine that really answers."""

import asyncio
import time
from pathlib import Path

import pytest

from feedback.errors import Unavailable
from serving.engines.base import BASE, Sampling
from serving.engines.local import LocalEngine
from serving.engines.supervised import SupervisedEngine
from tests.serving.engines.asking import ask, begin, text_of


def test_a_local_engine_comes_back_with_the_same_answers(
    base: Path, adapters: dict[str, Path]
) -> None:
    async def play() -> None:
        made: list[LocalEngine] = []

        def make() -> LocalEngine:
            made.append(LocalEngine(str(base), threads=1))
            return made[-1]

        engine = SupervisedEngine(make, backoff_seconds=0.01, poll_seconds=0.01)
        await engine.start()
        await engine.load("adp_0001", adapters["adp_0001"])
        short = Sampling(max_tokens=12)
        names = (BASE, "adp_0001")
        before = [text_of(await ask(engine, "Hello", short, name)) for name in names]
        running = begin(engine, "Hello", Sampling(max_tokens=200))
        await anext(running)
        await made[0].stop()
        with pytest.raises(Unavailable):
            _ = [chunk async for chunk in running]
        until_seconds = time.monotonic() + 30
        while not engine.restarts:
            assert time.monotonic() < until_seconds
            await asyncio.sleep(0.01)
        after = [text_of(await ask(engine, "Hello", short, name)) for name in names]
        assert before == after
        assert before[0] != before[1]
        await engine.stop()

    asyncio.run(play())
