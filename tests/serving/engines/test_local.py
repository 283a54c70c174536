import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from feedback.errors import Invalid, NotFound, Unavailable
from serving.engines.base import BASE, Prompt, Sampling
from serving.engines.local import LocalEngine
from tests.serving.engines import tiny
from tests.serving.engines.asking import ask, begin, text_of, user
from trainer.base_folder import base_hash


def test_each_row_of_a_mixed_batch_answers_as_it_would_alone_even_when_it_joins_midway(
    engine: LocalEngine, base: Path, adapters: dict[str, Path]
) -> None:
    names = [*adapters, BASE]
    cases = [
        (name, "tea " * (3 * turn + at + 1), 12 + 9 * turn + at)
        for turn in range(3)
        for at, name in enumerate(names)
    ]

    async def play() -> list[tuple[str, int]]:
        async def one(at: int, name: str, text: str, tokens: int) -> tuple[str, int]:
            if at >= 4:  # these join while the first are being answered
                await asyncio.sleep(0.01 * (at - 3))
            chunks = await ask(engine, text, Sampling(max_tokens=tokens), name)
            return text_of(chunks), chunks[-1].completion_tokens

        return await asyncio.gather(*(one(at, *case) for at, case in enumerate(cases)))

    tokenizer = AutoTokenizer.from_pretrained(base)
    answers = asyncio.run(play())
    for (name, text, tokens), (answer, count) in zip(cases, answers, strict=True):
        prompt = engine.prepare(user(text)).token_ids
        expected = tiny.alone(base, adapters.get(name), prompt, tokens)
        whole = tokenizer.decode(expected, skip_special_tokens=True).rstrip("\ufffd")
        assert (answer, count) == (whole, len(expected)), name
    assert len({answer for answer, _ in answers[:4]}) == 4, "the adapters make no difference"


def test_a_short_answer_that_comes_later_ends_before_a_long_one(engine: LocalEngine) -> None:
    async def play() -> list[str]:
        ended: list[str] = []

        async def one(name: str, tokens: int) -> None:
            await ask(engine, "kettle", Sampling(max_tokens=tokens))
            ended.append(name)

        long = asyncio.create_task(one("long", 200))
        await asyncio.sleep(0.02)
        await one("short", 3)
        await long
        return ended

    assert asyncio.run(play()) == ["short", "long"]


def test_the_same_seed_gives_the_same_answer_whatever_else_is_in_the_batch(
    engine: LocalEngine,
) -> None:
    drawn = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, seed=7)

    async def play() -> tuple[str, str, str]:
        alone = text_of(await ask(engine, "teapot", drawn))
        others = [
            ask(engine, "parcel " * n, replace(drawn, seed=n), name)
            for n, name in enumerate(sorted(engine.loaded()), start=1)
        ]
        among, *_ = await asyncio.gather(ask(engine, "teapot", drawn), *others)
        other_seed = text_of(await ask(engine, "teapot", replace(drawn, seed=8)))
        return alone, text_of(among), other_seed

    alone, among, other_seed = asyncio.run(play())
    assert alone == among != other_seed


def test_an_answer_ends_before_its_stop_string_and_shows_no_part_of_it(
    engine: LocalEngine,
) -> None:
    greedy = Sampling(max_tokens=40)
    whole = text_of(asyncio.run(ask(engine, "shop", greedy)))
    stop = whole[10:15]  # several tokens of this vocabulary
    chunks = asyncio.run(ask(engine, "shop", replace(greedy, stop=("never said", stop))))
    assert text_of(chunks) == whole[: whole.index(stop)]
    assert chunks[-1].finish_reason == "stop"


def test_closing_an_answer_early_frees_its_place(base: Path) -> None:
    async def play() -> None:
        engine = LocalEngine(str(base), threads=1, max_batch=1)
        await engine.start()
        long: Any = begin(engine, "kettle", Sampling())
        await anext(long)
        waiting = asyncio.create_task(ask(engine, "tea", Sampling(max_tokens=2)))
        await asyncio.sleep(0)
        await long.aclose()
        assert (await asyncio.wait_for(waiting, 5))[-1].completion_tokens == 2
        await engine.stop()

    asyncio.run(play())


def test_an_adapter_in_use_stays_until_its_last_answer_and_takes_no_new_ones(
    engine: LocalEngine, base: Path, adapters: dict[str, Path]
) -> None:
    folder = adapters["adp_0001"]

    async def play() -> str:
        await engine.load("adp_0009", folder)
        long = begin(engine, "tea", Sampling(max_tokens=60), "adp_0009")
        first = await anext(long)
        gone = asyncio.create_task(engine.unload("adp_0009"))
        await asyncio.sleep(0)
        with pytest.raises(NotFound):
            begin(engine, "tea", Sampling(), "adp_0009")
        assert not gone.done()
        await engine.load("adp_0008", folder)  # others come and go meanwhile
        await engine.unload("adp_0008")
        rest = [chunk async for chunk in long]
        await asyncio.wait_for(gone, 5)
        return text_of([first, *rest])

    answer = asyncio.run(play())
    expected = tiny.alone(base, folder, engine.prepare(user("tea")).token_ids, 60)
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert answer == tokenizer.decode(expected, skip_special_tokens=True).rstrip("\ufffd")
    assert engine.loaded() == frozenset(adapters)


def test_loading_an_adapter_that_is_leaving_keeps_it(
    engine: LocalEngine, adapters: dict[str, Path]
) -> None:
    async def play() -> None:
        await engine.load("adp_0009", adapters["adp_0000"])
        long: Any = begin(engine, "tea", Sampling(), "adp_0009")
        await anext(long)
        gone = asyncio.create_task(engine.unload("adp_0009"))
        await asyncio.sleep(0)
        await engine.load("adp_0009", adapters["adp_0000"])
        await asyncio.wait_for(gone, 5)
        await long.aclose()
        assert "adp_0009" in engine.loaded()
        await engine.unload("adp_0009")

    asyncio.run(play())


def test_refuses_an_adapter_that_is_not_loaded(engine: LocalEngine) -> None:
    async def play() -> None:
        begin(engine, "tea", Sampling(), "adp_7777")

    with pytest.raises(NotFound, match="adp_7777"):
        asyncio.run(play())


def test_refuses_a_prompt_that_fills_the_context_and_says_both_numbers(
    engine: LocalEngine,
) -> None:
    with pytest.raises(Invalid, match=r"come to \d+ tokens.*256") as refused:
        engine.prepare(user("tea " * 300))
    assert refused.value.param == "messages"
    with pytest.raises(Invalid, match="characters"):
        engine.prepare(user("tea" * 100_000))


def test_refuses_more_tokens_than_the_context_has_left(engine: LocalEngine) -> None:
    prompt = engine.prepare(user("tea"))
    room = engine.room(prompt)
    assert room == tiny.CONTEXT_TOKENS - len(prompt.token_ids)

    async def play(tokens: int) -> None:
        begin(engine, "tea", Sampling(max_tokens=tokens))

    with pytest.raises(Invalid, match=str(room)) as refused:
        asyncio.run(play(room + 1))
    assert refused.value.param == "max_tokens"
    with pytest.raises(Invalid):
        asyncio.run(play(0))


def test_an_answer_without_max_tokens_ends_with_the_context(engine: LocalEngine) -> None:
    last = asyncio.run(ask(engine, "tea", Sampling()))[-1]
    room = engine.room(engine.prepare(user("tea")))
    assert last.finish_reason == "stop" or last.completion_tokens == room


def test_a_failing_step_ends_its_answers_and_the_worker_goes_on(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        engine = LocalEngine(str(base), threads=1)
        await engine.start()
        assert engine._worker is not None
        decoder = engine._worker.built.result()
        real, calls = decoder.step, iter(range(100))

        def fails_once() -> None:
            if next(calls) == 3:
                raise RuntimeError("out of memory")
            real()

        monkeypatch.setattr(decoder, "step", fails_once)
        asks = [ask(engine, "tea", Sampling(max_tokens=20)) for _ in range(3)]
        results = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
        assert all(isinstance(result, Unavailable) for result in results)
        again = await asyncio.wait_for(ask(engine, "tea", Sampling(max_tokens=5)), 5)
        assert again[-1].completion_tokens == 5
        assert engine.health().running == engine.health().waiting == 0
        await engine.stop()

    asyncio.run(play())


def test_a_prompt_that_cannot_be_computed_leaves_the_others_alone(engine: LocalEngine) -> None:
    async def play() -> None:
        good = begin(engine, "tea", Sampling(max_tokens=60))
        first = await anext(good)
        request = replace(_request(engine), prompt=Prompt((10**9,)))
        with pytest.raises(Unavailable):
            async for _ in engine.generate(request):
                pass
        rest = [chunk async for chunk in good]
        assert text_of([first, *rest]) == text_of(await ask(engine, "tea", Sampling(max_tokens=60)))

    asyncio.run(play())


def test_stopping_ends_everything_and_refuses_what_comes_later(base: Path) -> None:
    async def play() -> None:
        engine = LocalEngine(str(base), threads=1, max_batch=1)
        await engine.start()
        asks = [asyncio.create_task(ask(engine, "tea", Sampling())) for _ in range(3)]
        await asyncio.sleep(0.02)
        await engine.stop()
        results = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 5)
        assert isinstance(results[-1], Unavailable)
        assert not engine.health().ready
        with pytest.raises(Unavailable):
            begin(engine, "tea", Sampling())

    asyncio.run(play())


def test_refuses_a_base_model_that_is_not_there(tmp_path: Path) -> None:
    for name in (str(tmp_path / "nowhere"), str(tmp_path)):
        engine = LocalEngine(name)
        with pytest.raises(Invalid, match=str(tmp_path)):
            asyncio.run(engine.start())
        assert not engine.health().ready


def _request(engine: LocalEngine) -> Any:
    from serving.engines.base import GenerationRequest

    return GenerationRequest("req", engine.prepare(user("tea")), BASE, Sampling(max_tokens=4))


def test_the_base_hash_changes_with_any_byte_that_shapes_an_answer_and_with_no_other(
    base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(base, folder)
    before = base_hash(folder)
    assert before == base_hash(base)
    (folder / "README.md").write_text("about")
    assert base_hash(folder) == before
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert base_hash(folder) != before
