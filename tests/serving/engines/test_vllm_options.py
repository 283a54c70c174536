"""What a request can ask of the vLLM engine beyond a plain answer, of the pretended and the real one."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feedback.errors import Invalid
from feedback.settings import FeedbackSettings
from serving.engines import vllm_extras
from serving.engines.base import BASE, Chunk, Sampling, TokenLogprob
from serving.engines.local import LocalEngine
from serving.engines.vllm import VllmEngine
from tests.serving.conftest import running
from tests.serving.engines.asking import ask, begin, text_of, user
from tests.serving.engines.fake_vllm import FakeVllm
from tests.serving.engines.reaching import REAL_URL, Served, reaching, started

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sold": {"type": "boolean"}, "cups": {"enum": [1, 2]}},
    "required": ["sold", "cups"],
    "additionalProperties": False,
}


def logprobs_of(chunks: Sequence[Chunk]) -> list[TokenLogprob]:
    return [token for chunk in chunks for token in chunk.logprobs]


def spelled(chunks: Sequence[Chunk]) -> str:
    """What the tokens say, without a character that the end has cut in two."""
    said = b"".join(token.raw for token in logprobs_of(chunks)).decode(errors="replace")
    return said.rstrip("\ufffd")


def test_log_probabilities_are_told_of_every_token_that_is_text(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            for name in (BASE, next(iter(served.adapters))):
                plain = Sampling(max_tokens=24)
                asked = replace(plain, top_logprobs=3)
                chunks = await ask(engine, "teapot", asked, name)
                assert text_of(chunks) == text_of(await ask(engine, "teapot", plain, name))
                assert spelled(chunks) == text_of(chunks).rstrip("\ufffd")
                told = logprobs_of(chunks)
                ended = chunks[-1].finish_reason == "stop"
                assert len(told) == chunks[-1].completion_tokens - ended
                for token in told:
                    likeliest = [other.logprob for other in token.top]
                    assert len(likeliest) == 3
                    assert likeliest == sorted(likeliest, reverse=True)
                    assert all(logprob <= 0 for logprob in (token.logprob, *likeliest))
                alone = await ask(engine, "teapot", replace(plain, top_logprobs=0), name)
                assert [token.logprob for token in logprobs_of(alone)] == pytest.approx(
                    [token.logprob for token in told], abs=1e-3
                )
                assert not any(token.top for token in logprobs_of(alone))

    asyncio.run(play())


def test_log_probabilities_end_with_the_text(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            asked = Sampling(max_tokens=40, top_logprobs=0)
            whole = text_of(await ask(engine, "shop", asked))
            stop = whole[5:8]
            cut = await ask(engine, "shop", replace(asked, stop=(stop,)))
            assert text_of(cut) == whole[: whole.index(stop)]
            assert spelled(cut).startswith(text_of(cut))
            assert whole.startswith(spelled(cut))
            before = "".join(token.raw.decode(errors="replace") for token in logprobs_of(cut)[:-1])
            assert len(before) < len(text_of(cut))

    asyncio.run(play())


def test_the_token_that_a_stop_string_cuts_in_two_is_told(fake: FakeVllm) -> None:
    async def play() -> None:
        async with started(fake) as engine:
            asked = Sampling(max_tokens=60, top_logprobs=0)
            words = [token.raw for token in logprobs_of(await ask(engine, "shop", asked))]
            at, stop = next(
                (at, word[-1:].decode())
                for at, word in enumerate(words)
                if len(word) > 1 and word.isascii() and word[-1:] not in b"".join(words[:at])
            )
            cut = await ask(engine, "shop", replace(asked, stop=(stop,)))
            assert [token.raw for token in logprobs_of(cut)] == words[: at + 1]

    asyncio.run(play())


def test_the_api_takes_for_vllm_what_vllm_can_do(fake: FakeVllm, tmp_path: Path) -> None:
    engine = VllmEngine(str(fake.base), fake.url, fake.shared)
    with running(FeedbackSettings(data_dir=tmp_path / "data"), engine) as server:
        format_ = {"type": "json_schema", "json_schema": {"name": "cups", "schema": SCHEMA}}
        answer = server.chat("cups", response_format=format_, logprobs=True, top_logprobs=2)
        assert answer.status_code == 200, answer.text
        [choice] = answer.json()["choices"]
        assert json.loads(choice["message"]["content"]) == {"sold": True, "cups": 1}
        assert (
            "".join(each["token"] for each in choice["logprobs"]["content"])
            == (choice["message"]["content"])
        )
        assert {len(each["top_logprobs"]) for each in choice["logprobs"]["content"]} == {2}
        penalised = server.chat("cups", presence_penalty=1.5, frequency_penalty=-0.5, max_tokens=2)
        assert penalised.status_code == 200
        assert fake.asked[-1]["presence_penalty"] == 1.5
        assert fake.asked[-1]["frequency_penalty"] == -0.5


def test_penalties_reach_vllm(served: Served) -> None:
    if served.url != REAL_URL:
        pytest.skip("the pretended one has no logits; test_vllm.py looks at what it is told")

    async def play() -> None:
        async with reaching(served) as engine:
            often = []
            for penalty in (-2.0, 2.0):
                asked = Sampling(
                    max_tokens=60,
                    temperature=1.0,
                    seed=1,
                    presence_penalty=penalty,
                    frequency_penalty=penalty,
                    top_logprobs=0,
                )
                # Through an adapter: the trained model alone says a word once.
                chunks = await ask(engine, "tea", asked, next(iter(served.adapters)))
                told = logprobs_of(chunks)
                often.append(max(Counter(token.raw for token in told).values()))
            assert often[0] > 2 * often[1]

    asyncio.run(play())


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_an_answer_that_must_be_json_is_json_among_others_that_need_not(
    served: Served, temperature: float
) -> None:
    async def play() -> list[list[Chunk]]:
        async with reaching(served) as engine:
            drawn = Sampling(max_tokens=90, temperature=temperature, seed=5)
            bound = replace(drawn, constraint=engine.constraint("json_schema", SCHEMA))
            loose = replace(drawn, constraint=engine.constraint("json_object", None))
            asked = [(bound, BASE), (drawn, BASE), (loose, BASE)]
            asked += [(bound, name) for name in served.adapters]
            return await asyncio.gather(*(ask(engine, "cups", *each) for each in asked))

    bound, free, loose, *by_adapters = asyncio.run(play())
    for chunks in (bound, *by_adapters):
        said = json.loads(text_of(chunks))
        assert set(said) == {"sold", "cups"}
        assert said["sold"] in (True, False) and said["cups"] in (1, 2)
        assert chunks[-1].finish_reason == "stop"
    assert text_of(loose).lstrip().startswith("{")
    with pytest.raises(ValueError):
        json.loads(text_of(free))


def test_log_probabilities_of_json_leave_the_end_out(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            kept = engine.constraint("json_schema", SCHEMA)
            chunks = await ask(
                engine, "cups", Sampling(max_tokens=90, top_logprobs=1, constraint=kept)
            )
            assert json.loads(text_of(chunks)) and spelled(chunks) == text_of(chunks)

    asyncio.run(play())


def test_vllm_is_told_the_schema_as_it_came_and_tokens_by_number(fake: FakeVllm) -> None:
    async def play() -> None:
        async with started(fake) as engine:
            kept = engine.constraint("json_schema", SCHEMA)
            await ask(engine, "tea", Sampling(max_tokens=60, top_logprobs=2, constraint=kept))
            told = fake.asked[-1]["response_format"]
            assert told == {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA},
            }
            # In the order in which the answer's fields are to come.
            assert list(told["json_schema"]["schema"]["properties"]) == ["sold", "cups"]
            assert fake.asked[-1]["logprobs"] == 2
            await ask(engine, "tea", Sampling(max_tokens=2))
            quiet = {"logprobs", "response_format", "return_tokens_as_token_ids"}
            assert not quiet & fake.asked[-1].keys()

    asyncio.run(play())


def test_the_likeliest_are_as_many_as_were_asked_for_whatever_was_chosen(fake: FakeVllm) -> None:
    async def play() -> None:
        async with started(fake) as engine:
            prompt = engine.prepare(user("tea")).token_ids
            body = {"prompt": list(prompt), "temperature": 0, "max_tokens": 4}
            made = fake.tokens(body, "")
            told = logprobs_of(await ask(engine, "tea", Sampling(max_tokens=4, top_logprobs=1)))
            spell = engine._token_bytes
            assert spell is not None
            assert [token.raw for token in told] == [spell(token) for token in made]
            assert [token.logprob for token in told] == [-0.5] * 4
            # The chosen one is told first by vLLM, and here it never is the likeliest.
            assert [each.raw for token in told for each in token.top] == [
                spell(token + 1) for token in made
            ]

    asyncio.run(play())


def test_a_schema_that_cannot_be_followed_never_reaches_vllm(fake: FakeVllm) -> None:
    async def play() -> None:
        async with started(fake) as engine:
            asked = len(fake.asked)
            for schema in ({"type": "no such type"}, {"type": "array", "uniqueItems": True}, None):
                with pytest.raises(Invalid) as refused:
                    engine.constraint("json_schema", schema)
                assert str(refused.value.param).startswith("response_format")
            assert len(fake.asked) == asked

    asyncio.run(play())


def test_another_engines_constraint_is_refused(fake: FakeVllm, engine: LocalEngine) -> None:
    foreign = engine.constraint("json_object", None)

    async def play() -> None:
        async with started(fake) as reached:
            with pytest.raises(Invalid) as refused:
                begin(reached, "tea", Sampling(constraint=foreign))
            assert refused.value.param == "response_format"

    asyncio.run(play())


def test_a_token_that_vllm_thinks_impossible_is_told_as_such() -> None:
    choice = {
        "finish_reason": None,
        "logprobs": {
            "tokens": ["token_id:7"],
            "token_logprobs": [None],
            "top_logprobs": [None],
        },
    }
    assert vllm_extras.told(choice, 2) == ((7, -9999.0, ()),)
    assert vllm_extras.told({"finish_reason": None, "logprobs": None}, 2) == ()


def test_a_bare_text_that_cannot_be_continued_is_refused_by_name(served: Served) -> None:
    async def play() -> None:
        async with reaching(served) as engine:
            for text in ("", "tea " * engine.context_tokens, "tea" * 100_000):
                with pytest.raises(Invalid) as refused:
                    engine.prepare_text(text)
                assert refused.value.param == "prompt"

    asyncio.run(play())
