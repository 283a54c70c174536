"""Random numbers as the model: the calls that it writes are calls of the tools that it was given."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from feedback.errors import Invalid
from serving.engines.structured import Matcher, Structures
from serving.tool_calls import parse
from tests.serving.engines import tiny

NEVER = float("-inf")
WEATHER: dict[str, Any] = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Tromsø"]}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
CLOCK: dict[str, Any] = {"name": "clock"}
ODD: dict[str, Any] = {"name": 'a"b\\c', "parameters": {"properties": {}}}
OPEN, CLOSE = "<tool_call>\n", "\n</tool_call>"
GOOD = OPEN + '{"name": "weather", "arguments": {"city": "Oslo", "days": 3}}' + CLOSE
TIME = OPEN + '{"name": "clock", "arguments": {}}' + CLOSE


@pytest.fixture(scope="module", params=[(), ("<tool_call>", "</tool_call>")], ids=["bytes", "tags"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Whose tags are ordinary text, and whose tags are tokens of their own, as Qwen's are."""
    folder: Path = tmp_path_factory.mktemp("calling")
    tiny.build_base(folder, template=tiny.CALLING_TEMPLATE, added=request.param)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def begin(tokenizer: Any) -> Callable[..., Matcher]:
    structures = Structures(tokenizer, {tokenizer.eos_token_id})

    def make(*functions: dict[str, Any], must: bool = True, many: bool = True) -> Matcher:
        wanted = {"tools": functions, "must": must, "many": many, "field": "tool_choice"}
        return structures.compile("tool_calls", wanted).matcher()

    return make


def allowed(matcher: Matcher, tokenizer: Any) -> set[int]:
    logits = torch.zeros(len(tokenizer))
    matcher.mask(logits)
    return {token for token, value in enumerate(logits.tolist()) if value > NEVER}


def follows(matcher: Matcher, tokenizer: Any, text: str) -> bool:
    """Whether the text may be said, token by token."""
    for token in tokenizer.encode(text, add_special_tokens=False):
        if token not in allowed(matcher, tokenizer):
            return False
        matcher.take(token)
    return True


def complete(matcher: Matcher, tokenizer: Any) -> bool:
    return matcher.finished or tokenizer.eos_token_id in allowed(matcher, tokenizer)


@pytest.mark.parametrize("functions", [(WEATHER,), (WEATHER, CLOCK), (CLOCK, ODD)])
def test_random_tokens_make_nothing_but_calls_where_there_must_be_one(
    functions: tuple[dict[str, Any], ...], begin: Callable[..., Matcher], tokenizer: Any
) -> None:
    names = set()
    for seed in range(12):
        matcher, chance = begin(*functions, many=False), torch.Generator().manual_seed(seed)
        tokens: list[int] = []
        while not matcher.finished:
            logits = torch.randn(len(tokenizer), generator=chance)
            logits[tokenizer.encode("}")] += 3  # else a number would go on for ever
            matcher.mask(logits)
            tokens.append(int(logits.argmax()))
            matcher.take(tokens[-1])
            assert len(tokens) < 300
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        said, (call,) = parse(text)
        assert said == ""
        names.add(call["function"]["name"])
        arguments = json.loads(call["function"]["arguments"])
        assert isinstance(arguments, dict)
        if call["function"]["name"] == "weather":
            assert arguments["city"] in ("Oslo", "Tromsø")
            assert type(arguments.get("days", 0)) is int
    assert names == {function["name"] for function in functions}


def test_where_there_must_be_a_call_nothing_else_can_be_said(
    begin: Callable[..., Matcher], tokenizer: Any
) -> None:
    assert not complete(begin(WEATHER), tokenizer)
    for text in ("Hi", OPEN + '{"name": "clock"', GOOD.replace("Oslo", "Paris"), GOOD + " and"):
        assert not follows(begin(WEATHER), tokenizer, text), text
    matcher = begin(WEATHER, CLOCK)
    assert follows(matcher, tokenizer, f"{GOOD}\n{TIME}\n{GOOD}")
    assert complete(matcher, tokenizer)
    assert not matcher.finished


def test_one_call_is_one_call(begin: Callable[..., Matcher], tokenizer: Any) -> None:
    matcher = begin(WEATHER, CLOCK, many=False)
    assert follows(matcher, tokenizer, GOOD)
    assert matcher.finished
    assert not follows(begin(WEATHER, many=False), tokenizer, f"{GOOD}\n{GOOD}")


def test_calls_come_to_an_end(begin: Callable[..., Matcher], tokenizer: Any) -> None:
    matcher = begin(CLOCK)
    assert follows(matcher, tokenizer, "\n".join([TIME] * 16))
    assert matcher.finished


@pytest.mark.parametrize("text", ["", "Hi, 東京.", "a <tool_ca", "no </tool_call>", "\n\n"])
def test_where_there_may_be_a_call_any_text_can_be_said(
    text: str, begin: Callable[..., Matcher], tokenizer: Any
) -> None:
    for after in ("", GOOD, f"{GOOD}\n{TIME}"):
        matcher = begin(WEATHER, CLOCK, must=False)
        assert follows(matcher, tokenizer, text + after)
        assert complete(matcher, tokenizer)


def test_where_there_may_be_a_call_it_has_to_be_a_right_one(
    begin: Callable[..., Matcher], tokenizer: Any
) -> None:
    for bad in (
        GOOD.replace("Oslo", "Paris"),
        GOOD.replace("3", '"3"'),
        GOOD + " and",
        OPEN + "{}",
    ):
        assert not follows(begin(WEATHER, must=False), tokenizer, f"Hi {bad}"), bad
    matcher = begin(WEATHER, must=False)
    assert follows(matcher, tokenizer, "Hi " + GOOD[:30])
    assert not complete(matcher, tokenizer)
    assert not follows(begin(CLOCK, must=False, many=False), tokenizer, f"{TIME}\n{TIME}")


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "properties": {"a": {"type": "words"}}},
        {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}},
        {"type": "object", "not": {}, "x-guidance": {"lenient": True}},
        {"type": "object", "properties": {"a": {"description": "x" * 270_000}}},
        {"type": "object", "properties": {"a": {"const": float("nan")}}},
        {"properties": {"a": {"allOf": [{"multipleOf": prime} for prime in (89, 97, 101)]}}},
    ],
)
def test_parameters_that_cannot_be_kept_are_refused(
    parameters: dict[str, Any], begin: Callable[..., Matcher]
) -> None:
    with pytest.raises(Invalid) as refused:
        begin(CLOCK, {"name": "f", "parameters": parameters})
    assert refused.value.param == "tools"
    assert "cannot be followed" in refused.value.message
    assert len(refused.value.message) < 500


def test_without_a_frame_the_field_that_asked_is_named(tmp_path: Path) -> None:
    tiny.build_base(tmp_path)
    structures = Structures(AutoTokenizer.from_pretrained(tmp_path), {1})
    for field in ("tool_choice", "parallel_tool_calls"):
        wanted = {"tools": [CLOCK], "must": True, "many": True, "field": field}
        with pytest.raises(Invalid, match="template") as refused:
            structures.compile("tool_calls", wanted)
        assert refused.value.param == field
