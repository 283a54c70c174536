"""The vLLM engine while vLLM is away, comes back, dies or is not what it should be."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from feedback.errors import Invalid, NotFound, Unavailable
from feedback.settings import FeedbackSettings
from serving.app import make_engine
from serving.engines.base import Sampling
from serving.engines.vllm import VllmEngine
from serving.settings import Settings
from tests.serving.conftest import on_sqlite, running
from tests.serving.engines.asking import ask, begin, text_of, user
from tests.serving.engines.fake_vllm import FakeVllm
from tests.serving.engines.reaching import PATIENCE_SECONDS, started, until
from trainer import base_folder

UNWATCHED_SECONDS = 600.0


def test_after_a_restart_every_adapter_is_loaded_again_and_the_request_asked_once_more(
    fake: FakeVllm, adapters: dict[str, Path]
) -> None:
    async def play() -> None:
        async with started(fake, adapters, watch_seconds=UNWATCHED_SECONDS) as engine:
            prompt = engine.prepare(user("tea")).token_ids
            names = sorted(fake.adapters)
            await asyncio.to_thread(fake.restart)
            assert fake.adapters == {}
            fake.asked.clear()
            fake.loads.clear()
            asks = [ask(engine, "tea", Sampling(max_tokens=9), name) for name in adapters]
            for folder, chunks in zip(adapters.values(), await asyncio.gather(*asks), strict=True):
                assert text_of(chunks) == fake.says(prompt, folder, 9)
            assert sorted(fake.adapters) == names
            assert sorted(body["lora_name"] for body in fake.loads) == names, "loaded twice"
            assert len(fake.asked) <= 2 * len(adapters)

    asyncio.run(play())


def test_a_restart_is_noticed_without_a_request(
    fake: FakeVllm, adapters: dict[str, Path], tmp_path: Path
) -> None:
    lost = shutil.copytree(adapters["adp_0000"], tmp_path / "lost")

    async def play() -> None:
        async with started(fake, adapters, watch_seconds=0.02) as engine:
            await engine.load("adp_0007", lost)
            shutil.rmtree(lost)
            await asyncio.to_thread(fake.restart)
            await until(lambda: len(fake.adapters) == 1 + len(adapters))
            # What cannot be loaded again is not said to be there.
            await until(lambda: engine.loaded() == set(adapters))
            with pytest.raises(NotFound):
                begin(engine, "tea", Sampling(), "adp_0007")

    asyncio.run(play())


def test_a_vllm_that_dies_in_the_middle_of_an_answer_ends_it_with_an_error(
    fake: FakeVllm, adapters: dict[str, Path]
) -> None:
    fake.token_seconds = 0.01

    async def play() -> None:
        async with started(fake, adapters, watch_seconds=0.02, reconnect_seconds=0.1) as engine:
            long = begin(engine, "tea", Sampling(), "adp_0001")
            await anext(long)
            await asyncio.to_thread(fake.die)
            began = time.monotonic()
            with pytest.raises(Unavailable, match=fake.url):
                async for _ in long:
                    pass
            await until(lambda: not engine.health().ready)
            assert time.monotonic() - began < 30
            with pytest.raises(Unavailable, match="does not answer"):
                begin(engine, "tea", Sampling(), "adp_0001")
            assert engine.health().running == 0
            await asyncio.to_thread(fake.start)
            await until(lambda: engine.health().ready)
            prompt = engine.prepare(user("tea")).token_ids
            chunks = await ask(engine, "tea", Sampling(max_tokens=5), "adp_0001")
            assert text_of(chunks) == fake.says(prompt, adapters["adp_0001"], 5)

    asyncio.run(play())


def test_a_request_to_a_vllm_that_is_gone_gives_up_in_time(fake: FakeVllm) -> None:
    async def play() -> None:
        async with started(fake, reconnect_seconds=0.2, watch_seconds=UNWATCHED_SECONDS) as engine:
            await asyncio.to_thread(fake.die)
            began = time.monotonic()
            asks = [ask(engine, "tea", Sampling(max_tokens=4)) for _ in range(5)]
            found = await asyncio.gather(*asks, return_exceptions=True)
            assert all(isinstance(each, Unavailable) for each in found)
            assert time.monotonic() - began < 2, "they waited one after the other"

    asyncio.run(play())


def test_a_vllm_that_freezes_ends_its_answers_after_a_while(fake: FakeVllm) -> None:
    fake.token_seconds = 0.01

    async def play() -> None:
        patience: dict[str, Any] = {
            "watch_seconds": 0.02,
            "silence_seconds": 0.2,
            "look_seconds": 0.1,
        }
        async with started(fake, **patience) as engine:
            long = begin(engine, "tea", Sampling())
            await anext(long)
            fake.frozen = True
            with pytest.raises(Unavailable, match=fake.url):
                async for _ in long:
                    pass
            assert not engine.health().ready
            fake.frozen = False
            await until(lambda: engine.health().ready)

    asyncio.run(play())


def test_what_vllm_breaks_off_is_no_answer(fake: FakeVllm) -> None:
    async def play() -> None:
        async with started(fake, watch_seconds=0.02) as engine:
            fake.abort_answers = True
            with pytest.raises(Unavailable, match="abort"):
                await ask(engine, "tea", Sampling(max_tokens=5))
            fake.dead_engine = True
            await until(lambda: not engine.health().ready)
            assert "dead" in engine.health().detail

    asyncio.run(play())


def test_stopping_ends_everything_and_refuses_what_comes_later(fake: FakeVllm) -> None:
    fake.token_seconds = 0.01

    async def play() -> None:
        engine = VllmEngine(str(fake.base), fake.url, fake.shared)
        with pytest.raises(Unavailable):
            begin(engine, "tea", Sampling())
        await engine.start()
        asks = [asyncio.create_task(ask(engine, "tea", Sampling())) for _ in range(3)]
        await until(lambda: fake.running == 3)
        await engine.stop()
        results = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 5)
        assert all(isinstance(each, Unavailable) for each in results)
        assert not engine.health().ready
        with pytest.raises(Unavailable):
            await engine.load("adp_0001", fake.base)

    asyncio.run(play())


def test_an_adapter_that_an_earlier_heed_left_there_is_taken_as_it_is(
    fake: FakeVllm, adapters: dict[str, Path], tmp_path: Path
) -> None:
    async def play() -> None:
        earlier = VllmEngine(str(fake.base), fake.url, fake.shared)
        await earlier.start()
        await earlier.load("adp_0001", adapters["adp_0001"])
        await earlier.stop()
        left = list(fake.adapters)
        shutil.rmtree(fake.shared)
        async with started(fake, {"adp_0001": adapters["adp_0001"]}) as engine:
            assert list(fake.adapters) == left
            assert [folder.name for folder in fake.shared.iterdir()] == left[:1]
            assert len(fake.loads) == 3, "what is listed is asked for again, or the null adapter"
            prompt = engine.prepare(user("tea")).token_ids
            chunks = await ask(engine, "tea", Sampling(max_tokens=5), "adp_0001")
            assert text_of(chunks) == fake.says(prompt, adapters["adp_0001"], 5)

    asyncio.run(play())


def test_needs_the_key_that_vllm_was_given(base: Path) -> None:
    fake = FakeVllm(base, key="sesame").start()

    async def play() -> None:
        with pytest.raises(Unavailable, match=r"serving\.vllm_key"):
            await VllmEngine(str(base), fake.url, fake.shared, "wrong", start_seconds=0.5).start()
        async with started(fake) as engine:
            assert await ask(engine, "tea", Sampling(max_tokens=1))

    try:
        asyncio.run(play())
    finally:
        fake.die()


def test_refuses_to_start_where_adapters_cannot_be_loaded(base: Path) -> None:
    fake = FakeVllm(base, runtime_lora=False).start()
    try:
        with pytest.raises(Invalid, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
            asyncio.run(VllmEngine(str(base), fake.url, fake.shared).start())
    finally:
        fake.die()


def test_refuses_to_start_where_vllm_serves_another_model_or_is_none(fake: FakeVllm) -> None:
    async def play() -> None:
        with pytest.raises(Invalid, match="not the base model"):
            await VllmEngine(base_folder.STARTER, fake.url, fake.shared).start()
        absent = VllmEngine(str(fake.base), "http://127.0.0.1:1", fake.shared, start_seconds=0.1)
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 does not answer"):
            await absent.start()
        assert not absent.health().ready
        for url in ("127.0.0.1:8000", "http://me:secret@127.0.0.1:8000", "ftp://there", ""):
            with pytest.raises(Invalid, match=r"serving\.vllm_url") as refused:
                await VllmEngine(str(fake.base), url, fake.shared).start()
            assert "secret" not in refused.value.message

    asyncio.run(play())


def test_a_vllm_that_comes_back_with_another_base_model_is_not_the_requests_fault(
    fake: FakeVllm,
) -> None:
    async def play() -> None:
        async with started(fake, watch_seconds=UNWATCHED_SECONDS) as engine:
            await asyncio.to_thread(fake.restart)
            fake.tokenizer = Tokenizer.from_file(
                str(base_folder.resolve(base_folder.STARTER) / "tokenizer.json")
            )
            with pytest.raises(Unavailable, match="not the base model"):
                await ask(engine, "tea", Sampling(max_tokens=4))
            assert not engine.health().ready

    asyncio.run(play())


def test_waits_for_a_vllm_that_comes_up_later(base: Path) -> None:
    fake = FakeVllm(base)

    async def play() -> None:
        engine = VllmEngine(str(base), fake.url, fake.shared, start_seconds=PATIENCE_SECONDS)
        starting = asyncio.create_task(engine.start())
        await asyncio.sleep(0.2)
        assert not starting.done() and not engine.health().ready
        await asyncio.to_thread(fake.start)
        await starting
        assert engine.health().ready
        await engine.stop()

    try:
        asyncio.run(play())
    finally:
        fake.die()


@on_sqlite
def test_clients_of_heed_reach_the_answers_of_vllm_and_not_its_lora_routes(
    settings: FeedbackSettings, fake: FakeVllm
) -> None:
    with running(settings, VllmEngine(str(fake.base), fake.url, fake.shared)) as server:
        body = {"model": "heed", "messages": user("tea"), "max_tokens": 7}
        answer = server.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        said = fake.says(fake.asked[-1]["prompt"], None, 7)
        assert answer.json()["choices"][0]["message"]["content"] == said
        assert answer.json()["usage"]["completion_tokens"] == 7
        for route in ("load_lora_adapter", "unload_lora_adapter"):
            load = {"lora_name": "adp_0001", "lora_path": "/"}
            assert server.http.post(f"/v1/{route}", json=load).status_code == 404
        assert "/" not in [body["lora_path"] for body in fake.loads]


def test_the_settings_name_the_server_and_hide_the_key(fake: FakeVllm) -> None:
    fake.key = "sesame"
    serving = {"engine": "vllm", "vllm_url": f"{fake.url}/v1/", "vllm_key": "sesame"}
    settings = Settings.model_validate(
        {"serving": serving, "trainer": {"base_model": str(fake.base)}}
    )
    assert "sesame" not in repr(settings)

    async def play() -> None:
        engine = make_engine(settings)
        await engine.start()
        assert await ask(engine, "tea", Sampling(max_tokens=2))
        await engine.stop()

    asyncio.run(play())
