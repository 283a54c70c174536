"""What a request can ask of the local engine beyond a plain answer."""

import asyncio
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from feedback.errors import Invalid
from serving.engines.base import BASE, ChatMessage, Chunk, GenerationRequest, Sampling, TokenLogprob
from serving.engines.local import LocalEngine
from tests.serving.engines import tiny
from tests.serving.engines.asking import ask, text_of, user

TOOLS_TEMPLATE = (
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}"
    "{% for message in messages %}<|{{ 'user' if message['role'] == 'tool' else message['role'] }}|>"
    "{{ message['content'] }}{% for call in message['tool_calls'] or [] %}"
    "{{ call['function']['arguments']['city'] }}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def logprobs_of(chunks: list[Chunk]) -> list[TokenLogprob]:
    return [token for chunk in chunks for token in chunk.logprobs]


def test_log_probabilities_are_those_of_the_model(engine: LocalEngine, base: Path) -> None:
    asked = Sampling(max_tokens=12, top_logprobs=3)
    told = logprobs_of(asyncio.run(ask(engine, "teapot", asked)))
    prompt = engine.prepare(user("teapot")).token_ids
    made = tiny.alone(base, None, prompt, 12)
    with torch.inference_mode():
        logits = tiny._reference(base, None)(torch.tensor([[*prompt, *made]])).logits[0]
    tokenizer = AutoTokenizer.from_pretrained(base)
    said = [token for token in made if token != tokenizer.eos_token_id]
    assert len(told) == len(said)
    for at, (token, entry) in enumerate(zip(said, told, strict=True)):
        expected = logits[len(prompt) - 1 + at].double().log_softmax(-1)
        assert entry.logprob == pytest.approx(float(expected[token]), abs=1e-4)
        assert [other.logprob for other in entry.top] == pytest.approx(
            expected.topk(3).values.tolist(), abs=1e-4
        )
    text = b"".join(entry.raw for entry in told).decode(errors="replace")
    assert text == tokenizer.decode(said)


def test_log_probabilities_change_nothing_and_end_with_the_text(engine: LocalEngine) -> None:
    greedy = Sampling(max_tokens=40)
    whole = text_of(asyncio.run(ask(engine, "shop", greedy)))
    told = asyncio.run(ask(engine, "shop", replace(greedy, top_logprobs=0)))
    assert text_of(told) == whole
    assert all(entry.top == () for entry in logprobs_of(told))
    stop = whole[10:15]
    cut = asyncio.run(ask(engine, "shop", replace(greedy, top_logprobs=0, stop=(stop,))))
    spelled = b"".join(entry.raw for entry in logprobs_of(cut)).decode(errors="replace")
    assert spelled.startswith(text_of(cut))
    assert len(spelled) < len(text_of(cut)) + len(stop) + 8


def test_penalties_hold_for_their_own_answer_whatever_else_is_in_the_batch(
    engine: LocalEngine,
) -> None:
    free = Sampling(max_tokens=60, top_logprobs=0)
    bound = replace(free, frequency_penalty=2.0, presence_penalty=1.0)

    async def play() -> list[list[Chunk]]:
        alone = await ask(engine, "kettle", bound)
        return [alone, *await asyncio.gather(*(ask(engine, "kettle", s) for s in (bound, free)))]

    alone, among, unbound = asyncio.run(play())
    assert text_of(alone) == text_of(among) != text_of(unbound)
    often = [
        max(Counter(entry.raw for entry in logprobs_of(chunks)).values())
        for chunks in (among, unbound)
    ]
    assert often[0] < often[1]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_an_answer_that_must_be_json_is_json_among_others_that_need_not(
    engine: LocalEngine, temperature: float
) -> None:
    schema = {
        "type": "object",
        "properties": {"sold": {"type": "boolean"}, "cups": {"enum": [1, 2]}},
        "required": ["sold", "cups"],
        "additionalProperties": False,
    }

    async def play() -> list[list[Chunk]]:
        drawn = Sampling(max_tokens=90, temperature=temperature, seed=5)
        bound = replace(drawn, constraint=engine.constraint("json_schema", schema))
        return await asyncio.gather(*(ask(engine, "cups", each) for each in (bound, drawn)))

    bound, free = asyncio.run(play())
    said = json.loads(text_of(bound))
    assert set(said) == {"sold", "cups"}
    assert said["sold"] in (True, False)
    assert said["cups"] in (1, 2)
    assert bound[-1].finish_reason == "stop"
    with pytest.raises(ValueError):
        json.loads(text_of(free))


def test_a_schema_that_cannot_be_followed_is_refused(engine: LocalEngine) -> None:
    with pytest.raises(Invalid) as refused:
        engine.constraint("json_schema", {"type": "no such type"})
    assert refused.value.param is not None
    assert refused.value.param.startswith("response_format")


def test_a_bare_text_is_continued_without_a_template(engine: LocalEngine, base: Path) -> None:
    prompt = engine.prepare_text("The shop opens")
    assert list(prompt.token_ids) == AutoTokenizer.from_pretrained(base).encode("The shop opens")

    async def play() -> str:
        request = GenerationRequest("req", prompt, BASE, Sampling(max_tokens=8))
        return text_of([chunk async for chunk in engine.generate(request)])

    expected = tiny.alone(base, None, prompt.token_ids, 8)
    said = AutoTokenizer.from_pretrained(base).decode(expected, skip_special_tokens=True)
    assert asyncio.run(play()) == said.rstrip("\ufffd")
    for text in ("", "tea " * 300, "tea" * 100_000):
        with pytest.raises(Invalid) as refused:
            engine.prepare_text(text)
        assert refused.value.param == "prompt"


def test_tools_are_taken_where_the_template_speaks_of_them(
    engine: LocalEngine, base: Path, tmp_path: Path
) -> None:
    assert "tools" not in engine.features
    folder = tmp_path / "tools"
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").write_text(TOOLS_TEMPLATE)
    messages: list[ChatMessage] = [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
            ],
        },
        {"role": "tool", "content": "rain", "tool_call_id": "1"},
    ]

    async def play() -> str:
        speaking = LocalEngine(str(folder), threads=1)
        await speaking.start()
        try:
            assert "tools" in speaking.features
            prompt = speaking.prepare_with_tools(messages, [TOOL])
            return str(AutoTokenizer.from_pretrained(folder).decode(prompt.token_ids))
        finally:
            await speaking.stop()

    rendered = asyncio.run(play())
    assert '"name": "weather"' in rendered
    assert "Oslo" in rendered
    assert "rain" in rendered
