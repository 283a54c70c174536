"""Static batches answer as the own loop does: only later."""

import asyncio
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from feedback.errors import Invalid
from serving.engines.base import BASE, Chunk, Sampling
from serving.engines.local import LocalEngine
from tests.serving.engines import families, tiny
from tests.serving.engines.asking import ask, begin, text_of, user

GROUPINGS = {
    "mamba": "padded",
    "mamba2": "padded",
    "lfm2": "padded",
    "qwen3_next": "padded",
    "falcon_h1": "padded",
    "rwkv": "apart",
}


async def rest(answer: Any) -> list[Chunk]:
    return [chunk async for chunk in answer]


async def in_one_batch(engine: LocalEngine, asked: list[tuple[str, Sampling, str]]) -> list[Any]:
    """Ask all of it behind an answer in flight, so that it waits and then begins together."""
    before: Any = begin(engine, "tea", Sampling(max_tokens=100))
    await anext(before)
    answers = [begin(engine, *each) for each in asked]
    await before.aclose()
    return await asyncio.gather(*(rest(answer) for answer in answers))


def spelled(base: Path, tokens: list[int]) -> str:
    text: str = AutoTokenizer.from_pretrained(base).decode(tokens, skip_special_tokens=True)
    return text.rstrip("\ufffd")


@pytest.mark.parametrize("family", GROUPINGS)
def test_a_model_that_the_own_loop_cannot_hold_answers_each_row_as_it_would_alone(
    family: str, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = families.build(family, base, tmp_path / family)
    texts = ["tea", "a kettle for two " * 3, "tin", "shop " * 2]

    async def play() -> None:
        engine = LocalEngine(str(folder), threads=1)
        await engine.start()
        assert engine._worker is not None
        decoder: Any = engine._worker.built.result()
        assert decoder.grouping == GROUPINGS[family]
        health = engine.health()
        assert (health.ready, health.batching) == (True, "static")
        assert health.detail.startswith("ready; static batches, since ")
        tokens = [14, 9, 20, 12]
        asked = [
            (text, Sampling(max_tokens=count), BASE)
            for text, count in zip(texts, tokens, strict=True)
        ]
        answers = await in_one_batch(engine, asked)
        for text, count, chunks in zip(texts, tokens, answers, strict=True):
            expected = tiny.alone(folder, None, engine.prepare(user(text)).token_ids, count)
            assert text_of(chunks) == spelled(folder, expected), text
            assert chunks[-1].completion_tokens == len(expected)
        await engine.stop()

    asyncio.run(play())
    lines = [record for record in caplog.records if record.name == "heed.engine"]
    assert [record.levelname for record in lines] == ["WARNING"]
    assert lines[0].__dict__["fields"]["batching"] == "static"
    reason = lines[0].__dict__["fields"]["reason"]
    assert any(what in reason for what in ("own loop", "sdpa")), reason


def test_a_model_that_keeps_its_state_in_itself_is_refused(base: Path, tmp_path: Path) -> None:
    """Not even rows apart keep what is theirs."""
    folder = families.build("recurrent_gemma", base, tmp_path / "recurrent_gemma")

    async def play() -> None:
        engine = LocalEngine(str(folder), threads=1)
        with pytest.raises(Invalid, match=r"in a batch than alone.*vllm"):
            await engine.start()
        assert not engine.health().ready

    asyncio.run(play())
    assert not [one for one in threading.enumerate() if one.name == "heed-generate"]


@pytest.mark.parametrize("family", ["llama", "lfm2"])
def test_rows_of_one_static_batch_go_each_through_their_own_adapter(
    family: str, base: Path, tmp_path: Path
) -> None:
    folder = base if family == "llama" else families.build(family, base, tmp_path / "base")
    adapters = {
        name: tiny.build_adapter(folder, tmp_path / name, seed)
        for seed, name in enumerate(("adp_0000", "adp_0001", "adp_0002"), start=5)
    }
    names = ["adp_0000", BASE, "adp_0001", BASE, "adp_0000"]
    asked = [
        ("tea " * (number + 1), Sampling(max_tokens=20 - 2 * number), name)
        for number, name in enumerate(names)
    ]

    async def play() -> list[Any]:
        engine = LocalEngine(str(folder), threads=1, batching="static")
        await engine.start()
        for name in ("adp_0000", "adp_0001"):
            await engine.load(name, adapters[name])
        loading = asyncio.create_task(_come_and_go(engine, adapters["adp_0002"]))
        answers = await in_one_batch(engine, asked)
        loading.cancel()
        prompts = [engine.prepare(user(text)).token_ids for text, *_ in asked]
        await engine.stop()
        return [*zip(answers, prompts, asked, strict=True)]

    told = set()
    for chunks, prompt, (_, sampling, name) in asyncio.run(play()):
        assert sampling.max_tokens
        expected = tiny.alone(folder, adapters.get(name), prompt, sampling.max_tokens)
        assert text_of(chunks) == spelled(folder, expected), name
        told.add(text_of(chunks)[:5])
    assert len(told) >= 3, "the adapters make no difference"


async def _come_and_go(engine: LocalEngine, folder: Path) -> None:
    """Others are loaded, probed and let go all the time, which routes otherwise."""
    for number in range(1000):
        await engine.load(f"adp_1{number:03}", folder)
        await engine.unload(f"adp_1{number:03}")


def test_every_option_means_the_same_in_a_static_batch(engine: LocalEngine, base: Path) -> None:
    drawn = Sampling(temperature=1.0, top_p=0.95, max_tokens=24, seed=7)
    greedy = Sampling(max_tokens=40)
    asked = {
        "drawn": drawn,
        "penalised": replace(greedy, presence_penalty=1.5, frequency_penalty=0.5),
        "told": replace(greedy, top_logprobs=3),
        "drawn otherwise": replace(drawn, seed=8),
    }

    async def play() -> None:
        whole = text_of(await ask(engine, "shop", greedy))
        asked["stopped"] = replace(greedy, stop=(whole[10:15],))
        static = LocalEngine(str(base), threads=1, batching="static")
        await static.start()
        schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}

        def constrained(of: LocalEngine) -> Sampling:
            return replace(greedy, constraint=of.constraint("json_schema", schema))

        expected = [await ask(engine, "shop", sampling) for sampling in asked.values()]
        expected.append(await ask(engine, "shop", constrained(engine)))
        batch = [("shop", sampling, BASE) for sampling in [*asked.values(), constrained(static)]]
        for name, one, other in zip(
            [*asked, "constrained"], await in_one_batch(static, batch), expected, strict=True
        ):
            assert text_of(one) == text_of(other), name
            assert one[-1].finish_reason == other[-1].finish_reason, name
            logprobs = [
                [token.logprob for c in chunks for token in c.logprobs] for chunks in (one, other)
            ]
            assert logprobs[0] == pytest.approx(logprobs[1], abs=1e-4), name
        again = await ask(static, "shop", drawn)
        assert text_of(again) == text_of(expected[0]) != text_of(expected[3])
        await static.stop()

    asyncio.run(play())


def test_a_row_that_has_ended_does_not_run_out_of_positions(base: Path, tmp_path: Path) -> None:
    """GPT-2 has a table of them; the long prompt's row goes on as padding beside the short one's."""
    folder = families.build("gpt2", base, tmp_path / "gpt2")

    async def play() -> None:
        engine = LocalEngine(str(folder), threads=1, batching="static")
        await engine.start()
        long = engine.prepare(user("tea " * 140))
        assert len(long.token_ids) > tiny.CONTEXT_TOKENS // 2
        short = engine.prepare(user("tea"))
        asked = [
            ("tea " * 140, Sampling(max_tokens=3), BASE),
            ("tea", Sampling(max_tokens=engine.room(short)), BASE),
        ]
        _, whole = await in_one_batch(engine, asked)
        expected = tiny.alone(folder, None, short.token_ids, engine.room(short))
        assert whole[-1].completion_tokens == len(expected) > tiny.CONTEXT_TOKENS // 2
        assert text_of(whole) == spelled(folder, expected)
        await engine.stop()

    asyncio.run(play())


def test_what_the_models_maker_recommends_is_not_applied(base: Path, tmp_path: Path) -> None:
    """As in the own loop: a request says all of it."""
    folder = tmp_path / "recommending"
    shutil.copytree(base, folder)
    file = folder / "generation_config.json"
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"repetition_penalty": 5.0, "do_sample": True})
    )

    async def play() -> tuple[str, str]:
        told = []
        for where in (base, folder):
            engine = LocalEngine(str(where), threads=1, batching="static")
            await engine.start()
            told.append(text_of(await ask(engine, "tea", Sampling(max_tokens=30))))
            await engine.stop()
        return told[0], told[1]

    plain, recommending = asyncio.run(play())
    assert plain == recommending
