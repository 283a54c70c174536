"""A place is freed however its reader goes."""

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import HeedError, Unavailable
from serving.engines.base import Chunk, Sampling
from serving.engines.local import LocalEngine
from serving.engines.reading import Reading
from tests.serving.engines.asking import begin
from tests.serving.engines.fake_vllm import FakeVllm
from tests.serving.engines.reaching import started, until


def reading_of(*items: Chunk | HeedError) -> tuple[Reading, list[str]]:
    queue: asyncio.Queue[Chunk | HeedError] = asyncio.Queue()
    for item in items:
        queue.put_nowait(item)
    left: list[str] = []
    return Reading(queue, lambda: left.append("left")), left


def test_leaves_once_when_all_is_read() -> None:
    async def play() -> None:
        reading, left = reading_of(Chunk("a", 1), Chunk("b", 2, "stop"), Chunk("never", 3))
        assert [chunk.text async for chunk in reading] == ["a", "b"]
        await reading.aclose()
        assert left == ["left"]

    asyncio.run(play())


def test_leaves_when_the_answer_fails_and_has_then_ended() -> None:
    async def play() -> None:
        reading, left = reading_of(Chunk("a", 1), Unavailable("gone"), Chunk("never", 2))
        assert (await anext(reading)).text == "a"
        with pytest.raises(Unavailable, match="gone"):
            await anext(reading)
        assert left == ["left"]
        assert [chunk async for chunk in reading] == []

    asyncio.run(play())


def test_leaves_when_its_reader_is_cancelled() -> None:
    async def play() -> None:
        reading, left = reading_of()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reading), 0.01)
        assert left == ["left"]
        assert [chunk async for chunk in reading] == []

    asyncio.run(play())


def test_leaves_when_it_is_forgotten_before_its_first_piece() -> None:
    async def play() -> None:
        reading, left = reading_of(Chunk("a", 1))
        del reading
        gc.collect()
        assert left == ["left"]

    asyncio.run(play())


def test_a_forgotten_answer_keeps_no_place_in_the_local_engine(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        engine = LocalEngine(str(base), threads=1)
        await engine.start()
        assert engine._worker is not None
        decoder, steps = engine._worker.built.result(), []
        real = decoder.step

        def slowly() -> None:
            time.sleep(0.01)
            steps.append(1)
            real()

        monkeypatch.setattr(decoder, "step", slowly)
        answer: Any = begin(engine, "kettle", Sampling(max_tokens=200))
        await until(lambda: engine.health().running == 1)
        del answer
        gc.collect()
        await until(lambda: engine.health().running == 0)
        assert len(steps) < 100
        await engine.stop()

    asyncio.run(play())


def test_a_forgotten_answer_ends_in_vllm(fake: FakeVllm) -> None:
    fake.token_seconds = 0.01

    async def play() -> None:
        async with started(fake) as engine:
            await until(lambda: not fake.running)  # the greeting of the start
            answer: Any = begin(engine, "tea", Sampling())
            await until(lambda: fake.running)
            del answer
            gc.collect()
            await until(lambda: fake.broken_off == 1 and not fake.running)

    asyncio.run(play())
