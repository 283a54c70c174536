"""The vLLM engine against a server that behaves as vLLM does, and, where one runs, the real one.

Tests that fit both take `served`; HEED_TEST_VLLM_URL names the real one (see CONTRIBUTING.md).
"""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Invalid, NotFound
from serving.engines.base import BASE, Engine, Sampling
from tests.serving.engines import tiny
from tests.serving.engines.asking import ask, begin, text_of, user
from tests.serving.engines.fake_vllm import FakeVllm
from tests.serving.engines.reaching import (
    Served,
    reaching,
    started,
    until,
)


def test_each_answer_is_given_by_the_adapter_that_its_request_names(served: Served) -> None:
    async def play() -> None:
        engine: Engine
        async with reaching(served) as engine:
            names = [BASE, *served.adapters]
            greedy = Sampling(max_tokens=12)
            alone = {name: await ask(engine, "tea", greedy, name) for name in names}
            together = await asyncio.gather(*(ask(engine, "tea", greedy, n) for n in names * 3))
            for name, chunks in zip(names * 3, together, strict=True):
                assert text_of(chunks) == text_of(alone[name])
                assert chunks[-1].finish_reason in ("stop", "length")
            assert len({text_of(chunks) for chunks in alone.values()}) == len(names)
            last = alone[BASE][-1]
            assert last.completion_tokens == 12 or last.finish_reason == "stop"

    asyncio.run(play())


def test_an_answer_keeps_its_version_while_another_goes_live_and_its_own_is_let_go(
    served: Served,
) -> None:
    old, new = list(served.adapters)[:2]

    async def play() -> None:
        only_old = replace(served, adapters={old: served.adapters[old]})
        async with reaching(only_old) as engine:
            greedy = Sampling(max_tokens=60)
            whole = text_of(await ask(engine, "kettle", greedy, old))
            long = begin(engine, "kettle", greedy, old)
            first = await anext(long)
            await engine.load(new, served.adapters[new])
            gone = asyncio.create_task(engine.unload(old))
            await asyncio.sleep(0)
            assert engine.loaded() == {new}
            with pytest.raises(NotFound, match=old):
                begin(engine, "kettle", Sampling(), old)
            other = text_of(await ask(engine, "kettle", Sampling(max_tokens=4), new))
            assert not gone.done() and not whole.startswith(other)
            assert text_of([first, *[chunk async for chunk in long]]) == whole
            await asyncio.wait_for(gone, 5)

    asyncio.run(play())


def test_an_answer_ends_before_its_stop_string(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            greedy = Sampling(max_tokens=40)
            whole = text_of(await ask(engine, "shop", greedy))
            stop = whole[5:8]
            chunks = await ask(engine, "shop", replace(greedy, stop=("never said", stop)))
            assert text_of(chunks) == whole[: whole.index(stop)]
            assert chunks[-1].finish_reason == "stop"

    asyncio.run(play())


def test_the_same_seed_draws_the_same_answer(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            drawn = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, seed=7)
            one, again, other = [
                # Through an adapter: the trained model alone is too sure of a short answer.
                text_of(await ask(engine, "teapot", each, next(iter(served.adapters))))
                for each in (drawn, drawn, replace(drawn, seed=8))
            ]
            assert one == again != other

    asyncio.run(play())


def test_refuses_what_does_not_fit_and_what_is_not_loaded(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            with pytest.raises(Invalid, match="come to") as refused:
                engine.prepare(user("tea " * engine.context_tokens))
            assert refused.value.param == "messages"
            room = engine.context_tokens - len(engine.prepare(user("tea")).token_ids)
            with pytest.raises(Invalid, match=f"{room:,}"):
                begin(engine, "tea", Sampling(max_tokens=room + 1))
            with pytest.raises(NotFound, match="adp_7777"):
                begin(engine, "tea", Sampling(), "adp_7777")
            await engine.unload("adp_7777")

    asyncio.run(play())


def test_an_adapter_that_vllm_refuses_is_a_plain_fault_and_the_others_go_on(
    served: Served, tmp_path: Path
) -> None:
    name = next(iter(served.adapters))
    large = shutil.copytree(served.adapters[name], tmp_path / "large")
    tiny.rewrite_config(large, r=4096)

    async def play() -> None:
        async with reaching(served) as engine:
            with pytest.raises(Invalid, match="rank"):
                await engine.load("adp_0008", large)
            with pytest.raises(Invalid, match=r"holds no adapter_config\.json"):
                await engine.load("adp_0009", tmp_path)
            assert engine.loaded() == set(served.adapters)
            assert text_of(await ask(engine, "tea", Sampling(max_tokens=4), name))

    asyncio.run(play())


def test_loading_an_adapter_that_is_leaving_keeps_it(served: Served) -> None:
    name, folder = next(iter(served.adapters.items()))

    async def play() -> None:
        async with reaching(served) as engine:
            long: Any = begin(engine, "tea", Sampling(max_tokens=100), name)
            await anext(long)
            gone = asyncio.create_task(engine.unload(name))
            await asyncio.sleep(0)
            await engine.load(name, folder)
            await asyncio.wait_for(gone, 5)
            await long.aclose()
            assert name in engine.loaded()
            assert await ask(engine, "tea", Sampling(max_tokens=2), name)

    asyncio.run(play())


def test_says_exactly_what_vllm_says_and_asks_for_nothing_else(
    fake: FakeVllm, adapters: dict[str, Path]
) -> None:
    async def play() -> None:
        async with started(fake, adapters) as engine:
            prompt = engine.prepare(user("tea"))
            for name, folder in [(BASE, None), *adapters.items()]:
                chunks = await ask(engine, "tea", Sampling(max_tokens=30), name)
                assert text_of(chunks) == fake.says(prompt.token_ids, folder, 30)
                assert chunks[-1].completion_tokens == 30
            penalised = Sampling(
                max_tokens=3, presence_penalty=0.5, frequency_penalty=0.25, seed=3, stop=("x",)
            )
            await ask(engine, "tea", penalised)
            asked = fake.asked[-1]
            assert asked["prompt"] == list(prompt.token_ids)
            told = {"presence_penalty": 0.5, "frequency_penalty": 0.25, "seed": 3, "stop": ["x"]}
            # Else they would come from the base model's generation_config.json.
            neutral = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "temperature": 0.0}
            assert asked.items() >= (told | neutral).items()
            assert len({each["request_id"] for each in fake.asked}) == len(fake.asked)
        assert fake.adapters.keys() == {fake.loads[0]["lora_name"]}, "the null adapter alone"
        assert not any("load_inplace" in body for body in fake.loads)

    asyncio.run(play())


def test_text_that_holds_line_separators_arrives_whole(fake: FakeVllm) -> None:
    fake.script = ["one\u2028two", "\u2029\x85\x0b", '"\r\n\\', "東京 🫖"]

    async def play() -> str:
        async with started(fake) as engine:
            return text_of(await ask(engine, "tea", Sampling(max_tokens=4)))

    assert asyncio.run(play()) == "".join(fake.script)


def test_closing_an_answer_early_ends_it_in_vllm(fake: FakeVllm) -> None:
    fake.token_seconds = 0.01

    async def play() -> None:
        async with started(fake) as engine:
            closed: Any = begin(engine, "tea", Sampling())
            await anext(closed)
            await closed.aclose()
            await until(lambda: fake.broken_off == 1 and not fake.running)
            reader = asyncio.create_task(ask(engine, "tea", Sampling()))
            await until(lambda: fake.running)
            reader.cancel()
            await until(lambda: fake.broken_off == 2 and not fake.running)
            assert engine.health().running == 0

    asyncio.run(play())


def test_a_name_in_vllm_never_stands_for_other_files(
    fake: FakeVllm, adapters: dict[str, Path]
) -> None:
    async def play() -> None:
        async with started(fake) as engine:
            for folder in (adapters["adp_0000"], adapters["adp_0001"]):
                await engine.load("adp_0005", folder)
                await engine.load("adp_0005", folder)
                prompt = engine.prepare(user("tea")).token_ids
                chunks = await ask(engine, "tea", Sampling(max_tokens=5), "adp_0005")
                assert text_of(chunks) == fake.says(prompt, folder, 5)
                await engine.unload("adp_0005")
        _, first, second = (body["lora_name"] for body in fake.loads)
        assert first != second
        assert first.startswith("adp_0005-") and second.startswith("adp_0005-")

    asyncio.run(play())
