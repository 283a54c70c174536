"""One static batch from begin to end: who waits, who leaves, what breaks it off."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Unavailable
from serving.engines.base import Sampling
from serving.engines.local import LocalEngine
from tests.serving.engines.asking import ask, begin, text_of

LONG = Sampling(max_tokens=200)


@asynccontextmanager
async def static(base: Path, **more: Any) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(str(base), threads=1, batching="static", **more)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
    assert not generating()


def generating() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heed-generate"]


def decoder_of(engine: LocalEngine) -> Any:
    assert engine._worker is not None
    return engine._worker.built.result()


def slowly(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let each step take a while; returns how many rows each had."""
    decoder, steps = decoder_of(engine), []
    real = decoder.step

    def step() -> None:
        time.sleep(0.01)
        steps.append(len(decoder.rows))
        real()

    monkeypatch.setattr(decoder, "step", step)
    return steps


def test_who_comes_during_a_batch_is_answered_after_it(base: Path) -> None:
    async def play() -> list[str]:
        ended: list[str] = []

        async def one(name: str, answer: Any) -> None:
            async for _ in answer:
                pass
            ended.append(name)

        async with static(base) as engine:
            long: Any = begin(engine, "kettle", LONG)
            await anext(long)
            short = [begin(engine, "tea", Sampling(max_tokens=n)) for n in (2, 4)]
            assert engine.health().waiting == 2
            await asyncio.gather(
                one("long", long), *(one(f"short {n}", each) for n, each in enumerate(short))
            )
        return ended

    assert asyncio.run(play()) == ["long", "short 0", "short 1"]


def test_answers_stream_while_their_batch_is_under_way(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with static(base) as engine:
            steps = slowly(engine, monkeypatch)
            long: Any = begin(engine, "kettle", LONG)
            await anext(long)
            await anext(long)
            assert len(steps) < 20
            await long.aclose()

    asyncio.run(play())


def test_a_reader_who_leaves_is_free_at_once_and_the_others_read_on(base: Path) -> None:
    async def play() -> None:
        async with static(base) as engine:
            alone = text_of(await ask(engine, "tea", LONG))
            before: Any = begin(engine, "kettle", LONG)
            await anext(before)
            leaving: Any = begin(engine, "kettle " * 7, LONG)
            staying: Any = begin(engine, "tea", LONG)
            await before.aclose()
            first = await anext(leaving)
            assert first.text
            await asyncio.wait_for(leaving.aclose(), 1)
            assert text_of([chunk async for chunk in staying]) == alone

    asyncio.run(play())


def test_a_batch_whose_readers_have_all_left_ends_at_once(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with static(base) as engine:
            steps = slowly(engine, monkeypatch)
            long: Any = begin(engine, "kettle", LONG)
            await anext(long)
            waiting = asyncio.create_task(ask(engine, "tea", Sampling(max_tokens=2)))
            await asyncio.sleep(0)
            assert len(generating()) == 1
            await long.aclose()
            assert (await asyncio.wait_for(waiting, 5))[-1].completion_tokens == 2
            assert len(steps) < 30
            assert engine.health().running == 0

    asyncio.run(play())


@pytest.mark.parametrize("call", [0, 3])
def test_an_exception_inside_generate_costs_that_batch_alone(
    base: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """The first call computes the prompts, the later ones a token each."""

    async def play() -> None:
        async with static(base) as engine:
            model, calls = decoder_of(engine)._model, iter(range(1000))
            real = model.forward

            def fails_once(*args: Any, **kwargs: Any) -> Any:
                if next(calls) == call:
                    raise RuntimeError("out of memory")
                return real(*args, **kwargs)

            monkeypatch.setattr(model, "forward", fails_once)
            asks = [ask(engine, "tea", LONG) for _ in range(3)]
            told = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
            lost = [one for one in told if isinstance(one, Unavailable)]
            assert lost and "out of memory" in lost[0].message
            assert all(isinstance(one, list | Unavailable) for one in told)
            assert not generating()
            again = await asyncio.wait_for(ask(engine, "tea", Sampling(max_tokens=5)), 5)
            assert again[-1].completion_tokens == 5
            assert engine.health().running == engine.health().waiting == 0

    asyncio.run(play())


def test_stopping_during_a_batch_ends_everybody(base: Path) -> None:
    async def play() -> None:
        async with static(base) as engine:
            readers = [asyncio.create_task(ask(engine, "tea", LONG)) for _ in range(3)]
            while not engine.health().running:
                await asyncio.sleep(0.001)
            await asyncio.wait_for(engine.stop(), 5)
            told = await asyncio.wait_for(asyncio.gather(*readers, return_exceptions=True), 5)
            assert all(isinstance(one, Unavailable) for one in told)
            assert not generating()

    asyncio.run(play())


def test_a_batch_takes_all_who_wait_not_only_what_fits_between_two_steps(base: Path) -> None:
    async def play() -> int:
        async with static(base) as engine:
            decoder = decoder_of(engine)
            joined: list[int] = []
            real = decoder.join

            def join(rows: Any) -> None:
                joined.append(len(rows))
                real(rows)

            decoder.join = join
            before: Any = begin(engine, "kettle", LONG)
            await anext(before)
            others = [begin(engine, "tea " * 200, Sampling(max_tokens=2)) for _ in range(20)]
            await before.aclose()
            for each in others:
                async for _ in each:
                    pass
            return joined[-1]

    assert asyncio.run(play()) == 20
