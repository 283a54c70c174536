import asyncio
from pathlib import Path

import pytest

from feedback.errors import Invalid, NotFound, Unavailable
from serving.engines.base import ChatMessage, Engine, Sampling
from serving.engines.echo import EchoEngine
from tests.serving.engines.asking import ask, begin, text_of, user


def started(context_tokens: int = 20) -> EchoEngine:
    engine = EchoEngine(context_tokens=context_tokens)
    asyncio.run(engine.start())
    return engine


def test_says_the_last_user_message_word_by_word() -> None:
    engine: Engine = started()
    chunks = asyncio.run(ask(engine, "tea for two", Sampling()))
    assert [chunk.text for chunk in chunks] == ["tea", " for", " two", ""]
    assert (chunks[-1].finish_reason, chunks[-1].completion_tokens) == ("stop", 3)


def test_hears_the_last_user_only() -> None:
    engine = started()
    messages: list[ChatMessage] = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "well"},
        {"role": "user", "content": "second one"},
    ]
    assert len(engine.prepare(messages).token_ids) == 10
    words = engine._last_user_words(engine.prepare(messages))
    assert words == ["second", " one"]


def test_ends_at_max_tokens_and_before_a_stop_string() -> None:
    engine = started()
    short = asyncio.run(ask(engine, "one two three", Sampling(max_tokens=2)))
    assert (text_of(short), short[-1].finish_reason) == ("one two", "length")
    stopped = asyncio.run(ask(engine, "one two three", Sampling(stop=("wo th",))))
    assert (text_of(stopped), stopped[-1].finish_reason) == ("one t", "stop")


def test_names_the_adapter_and_keeps_book_of_it(tmp_path: Path) -> None:
    async def play() -> None:
        engine = EchoEngine(delay_seconds=0.005)
        await engine.start()
        with pytest.raises(Invalid):
            await engine.load("adp_0001", tmp_path)
        (tmp_path / "adapter_config.json").write_text("{}")
        await engine.load("adp_0001", tmp_path)
        answer = begin(engine, "tea time", Sampling(), "adp_0001")
        first = await anext(answer)
        gone = asyncio.create_task(engine.unload("adp_0001"))
        await asyncio.sleep(0)
        assert not gone.done()
        with pytest.raises(NotFound):
            begin(engine, "tea", Sampling(), "adp_0001")
        assert text_of([first, *[chunk async for chunk in answer]]) == "[adp_0001] tea time"
        await asyncio.wait_for(gone, 1)

    asyncio.run(play())


def test_refuses_what_exceeds_its_context() -> None:
    engine = started(context_tokens=8)
    with pytest.raises(Invalid) as refused:
        engine.prepare(user("word " * 8))
    assert refused.value.param == "messages"
    with pytest.raises(Invalid, match="6"):
        asyncio.run(ask(engine, "tea", Sampling(max_tokens=7)))


def test_stopping_ends_answers_with_an_error() -> None:
    async def play() -> None:
        engine = EchoEngine(delay_seconds=0.005)
        await engine.start()
        answer = begin(engine, "tea time", Sampling())
        await anext(answer)
        await engine.stop()
        with pytest.raises(Unavailable):
            await anext(answer)

    asyncio.run(play())
