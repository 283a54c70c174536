"""Random numbers as the model: whatever it prefers, what it may say is JSON of the right form."""

import json
import time
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoTokenizer

from feedback.errors import Invalid
from serving.engines import schema_trial
from serving.engines.structured import Grammar, Matcher, Structures
from trainer import base_folder

NEVER = float("-inf")
# More rows than the tokenizer has tokens, as embeddings that are padded to a round number have.
ROWS = 1536


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Item(Strict):
    name: str = Field(max_length=12)
    count: int = Field(ge=1, le=500)
    size: Literal["small", "medium", "large"]
    gift: bool


class Order(Strict):
    items: list[Item] = Field(max_length=2)
    note: str | None
    colours: list[Literal["red", "green"]]
    price: float


class Tree(Strict):
    label: Literal["leaf", "branch"]
    children: list["Tree"] = Field(max_length=2)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(base_folder.resolve("starter"))


@pytest.fixture(scope="module")
def structures(tokenizer: Any) -> Structures:
    return Structures(tokenizer, {tokenizer.eos_token_id})


@pytest.fixture(scope="module")
def closing(tokenizer: Any) -> torch.Tensor:
    """One where a token brings an answer nearer to its end, zero elsewhere."""
    nearer = torch.zeros(ROWS)
    for text in ('"', "}", "]", ":", ",", tokenizer.eos_token):
        nearer[tokenizer.convert_tokens_to_ids(text)] = 1
    return nearer


@pytest.fixture(scope="module")
def answer(tokenizer: Any, closing: torch.Tensor) -> Callable[..., str]:
    """Follows random numbers to the end of an answer."""

    def make(grammar: Grammar, seed: int, patience_tokens: int = 30) -> str:
        matcher, chance = grammar.matcher(), torch.Generator().manual_seed(seed)
        tokens: list[int] = []
        while not matcher.finished:
            # Else a string would go on until one token in a thousand closes it.
            impatience = 10.0 if len(tokens) > patience_tokens else 0.0
            logits = 3 * torch.randn(ROWS, generator=chance) + impatience * closing
            matcher.mask(logits)
            token = int(logits.argmax())
            assert logits[token] > NEVER, "no token is left"
            tokens.append(token)
            matcher.take(token)
            assert len(tokens) < 2000
        if tokens[-1] == tokenizer.eos_token_id:
            tokens.pop()
        assert tokenizer.eos_token_id not in tokens
        text: str = tokenizer.decode(tokens, skip_special_tokens=False)
        assert text == tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    return make


def allowed(matcher: Matcher, rows: int = ROWS) -> set[int]:
    logits = torch.zeros(rows)
    matcher.mask(logits)
    return {token for token, value in enumerate(logits.tolist()) if value > NEVER}


def follow(matcher: Matcher, tokenizer: Any, text: str) -> None:
    for token in tokenizer.encode(text, add_special_tokens=False):
        assert token in allowed(matcher), f"{tokenizer.decode([token])!r} in {text!r}"
        matcher.take(token)


@pytest.mark.parametrize("shape", [Item, Order, Tree])
def test_random_tokens_make_json_of_the_schema(
    shape: type[BaseModel], structures: Structures, answer: Callable[..., str]
) -> None:
    grammar = structures.compile("json_schema", shape.model_json_schema())
    made = {answer(grammar, seed) for seed in range(25)}
    for text in made:
        shape.model_validate_json(text)
    assert len(made) > 15


@pytest.mark.parametrize(
    ("schema", "holds"),
    [
        ({"enum": ["yes", "no", 3, None]}, lambda made: made in ("yes", "no", 3, None)),
        ({"type": "integer", "minimum": -5, "maximum": 17}, lambda made: -5 <= made <= 17),
        ({"type": "boolean"}, lambda made: isinstance(made, bool)),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
            lambda made: 2 <= len(made) <= 4 and all(isinstance(one, bool) for one in made),
        ),
        (
            {"type": "string", "pattern": "^[a-f]{2}-[0-9]{3}$"},
            lambda made: made[2] == "-" and set(made[:2]) <= set("abcdef") and made[3:].isdigit(),
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            lambda made: all(type(value) is int for value in made.values()),
        ),
    ],
)
def test_random_tokens_keep_each_kind_of_rule(
    schema: dict[str, Any],
    holds: Callable[[Any], bool],
    structures: Structures,
    answer: Callable[..., str],
) -> None:
    grammar = structures.compile("json_schema", schema)
    for seed in range(15):
        made = json.loads(answer(grammar, seed))
        assert holds(made), made


def test_json_object_makes_an_object_of_any_content(
    structures: Structures, answer: Callable[..., str]
) -> None:
    grammar = structures.compile("json_object", None)
    made = [json.loads(answer(grammar, seed, patience_tokens=60)) for seed in range(40)]
    assert all(isinstance(one, dict) for one in made)
    assert any(made)


def test_what_a_person_would_write_is_allowed_token_by_token(
    structures: Structures, tokenizer: Any
) -> None:
    text = json.dumps(
        {
            "items": [{"name": "Größe 東京", "count": 3, "size": "small", "gift": True}],
            "note": None,
            "colours": ["red"],
            "price": -1.5e3,
        },
        indent=2,
        ensure_ascii=False,
    )
    matcher = structures.compile("json_schema", Order.model_json_schema()).matcher()
    follow(matcher, tokenizer, text)
    assert matcher.finished


def test_end_tokens_are_allowed_exactly_when_the_output_is_complete(
    structures: Structures, tokenizer: Any
) -> None:
    end = tokenizer.eos_token_id
    matcher = structures.compile("json_schema", {"type": "integer"}).matcher()
    assert end not in allowed(matcher)
    with pytest.raises(Invalid, match="too early"):
        matcher.take(end)
    follow(matcher, tokenizer, "4")
    # Complete, though more digits may come.
    assert end in allowed(matcher)
    assert len(allowed(matcher)) > 1
    assert not matcher.finished
    matcher.take(end)
    assert allowed(matcher) == {end}

    closed = structures.compile("json_object", None).matcher()
    follow(closed, tokenizer, "{}")
    assert closed.finished
    assert allowed(closed) == {end}
    with pytest.raises(Invalid, match="after its end"):
        closed.take(tokenizer.convert_tokens_to_ids("}"))


def test_every_end_token_counts_and_one_beyond_the_logits_does_not_matter(tokenizer: Any) -> None:
    end, other = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|user|>")
    structures = Structures(tokenizer, {end, other, 10**6})
    matcher = structures.compile("json_object", None).matcher()
    assert not {end, other} & allowed(matcher)
    follow(matcher, tokenizer, "{}")
    assert allowed(matcher) == {end, other}


def test_rows_beyond_the_vocabulary_are_never_allowed(
    structures: Structures, tokenizer: Any
) -> None:
    matcher = structures.compile("json_schema", {"type": "string"}).matcher()
    follow(matcher, tokenizer, '"')
    assert max(allowed(matcher)) < len(tokenizer) < ROWS
    short = allowed(matcher, rows=300)
    assert short == {token for token in allowed(matcher) if token < 300}


def test_special_tokens_are_never_part_of_a_string(structures: Structures, tokenizer: Any) -> None:
    matcher = structures.compile("json_schema", {"type": "string"}).matcher()
    follow(matcher, tokenizer, '"')
    assert not allowed(matcher) & set(tokenizer.all_special_ids)
    with pytest.raises(Invalid, match="satisfy the grammar"):
        matcher.take(tokenizer.convert_tokens_to_ids("<|user|>"))


def test_masking_changes_nothing_else_and_works_in_half_precision(structures: Structures) -> None:
    matcher = structures.compile("json_object", None).matcher()
    for dtype in (torch.float32, torch.bfloat16):
        logits = torch.randn(ROWS, generator=torch.Generator().manual_seed(1)).to(dtype)
        before = logits.clone()
        with torch.inference_mode():
            matcher.mask(logits)
        kept = logits > NEVER
        assert 0 < int(kept.sum()) < ROWS
        assert torch.equal(logits[kept], before[kept])


def test_blanks_cannot_go_on_for_ever(structures: Structures, tokenizer: Any) -> None:
    matcher = structures.compile("json_object", None).matcher()
    follow(matcher, tokenizer, "{")
    blanks = 0
    while blank := [t for t in allowed(matcher) if not tokenizer.decode([t]).strip()]:
        matcher.take(min(blank))
        blanks += 1
        assert blanks < 40


def test_matchers_of_one_grammar_share_no_state(structures: Structures, tokenizer: Any) -> None:
    grammar = structures.compile("json_schema", Item.model_json_schema())
    first, second = grammar.matcher(), grammar.matcher()
    begin = allowed(second)
    follow(first, tokenizer, '{"name": "tea", "count": 3')
    assert allowed(second) == begin
    follow(second, tokenizer, '{"name":"pot","count":1,"size":"large","gift":false}')
    assert second.finished
    assert not first.finished
    follow(first, tokenizer, '7, "size": "small", "gift": true}')
    assert allowed(grammar.matcher()) == begin


def test_an_answer_that_uses_up_its_limits_leaves_the_next_one_its_own(
    structures: Structures,
) -> None:
    """A pattern of which almost every way to follow it is new to the lexer."""
    pattern = "(a.{300}|b.{299}c|d.{298})*e.{500}"
    grammar = structures.compile("json_schema", {"type": "string", "pattern": pattern})

    def tokens_until_refused() -> int:
        matcher, chance = grammar.matcher(), torch.Generator().manual_seed(2)
        for count in range(400):
            logits = torch.randn(ROWS, generator=chance)
            try:
                matcher.mask(logits)
                matcher.take(int(logits.argmax()))
            except Invalid as error:
                assert error.param == "response_format"
                assert "too many" in error.message
                return count
        raise AssertionError("it was meant to be too complex")

    counts = [tokens_until_refused() for _ in range(3)]
    assert counts[0] > 5
    assert counts == counts[:1] * 3


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
        ({"enum": []}, "empty"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "incompatible"),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}, "no answer can satisfy"),
        ({"type": "string", "pattern": "^a$", "minLength": 5}, "empty"),
        ({"type": "words"}, "words"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"$ref": "https://example.com/schema.json"}, "example.com"),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "uniqueItems"),
        ({"not": {"type": "null"}, "x-guidance": {"lenient": True}}, "not"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"type": "string", "pattern": "a("}, "unclosed"),
        ({"const": float("nan")}, "JSON"),
    ],
)
def test_a_schema_that_cannot_be_honoured_is_refused_and_says_why(
    schema: dict[str, Any], why: str, structures: Structures
) -> None:
    for _ in range(2):  # the second time from what was kept
        with pytest.raises(Invalid, match=why) as caught:
            structures.compile("json_schema", schema)
        assert caught.value.param == "response_format"
        assert len(caught.value.message) < 500


def test_a_missing_a_huge_and_a_bottomless_schema_are_refused(structures: Structures) -> None:
    with pytest.raises(Invalid, match=r"json_schema\.schema"):
        structures.compile("json_schema", None)
    with pytest.raises(Invalid, match="65536"):
        structures.compile("json_schema", {"description": "x" * 70_000})
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(100_000):
        deep = {"items": deep}
    with pytest.raises(Invalid, match="deeply"):
        structures.compile("json_schema", deep)
    while deep:  # taken apart from outside, since nested deletion recurses too
        deep = deep.pop("items", {})


def chain(links: int) -> dict[str, Any]:
    """Definitions of which each holds the next: they overflow the compiler's stack."""
    kinds: dict[str, Any] = {
        f"d{at}": {"type": "array", "items": {"$ref": f"#/$defs/d{at + 1}"}} for at in range(links)
    }
    return {"$ref": "#/$defs/d0", "$defs": kinds | {f"d{links}": {"type": "integer"}}}


def test_definitions_may_hold_each_other_as_deep_as_anyone_needs(structures: Structures) -> None:
    structures.compile("json_schema", chain(100))


@pytest.mark.parametrize(
    "schema",
    [
        chain(900),
        {"type": "number", "allOf": [{"multipleOf": prime} for prime in (89, 97, 101)]},
        {"type": "string", "pattern": "^(((((a{50}){50}){50}){50}){50})$"},
    ],
    ids=["deep", "slow", "large"],
)
def test_a_schema_made_to_break_the_compiler_breaks_nothing(
    schema: dict[str, Any], structures: Structures
) -> None:
    began = time.process_time()
    with pytest.raises(Invalid, match="cannot be followed"):
        structures.compile("json_schema", schema)
    # It was tried elsewhere, and what came of it is known the next time.
    assert time.process_time() - began < 1.0


def test_a_schema_is_tried_once(structures: Structures, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "object", "properties": {"once": {"type": "boolean"}}}
    tried: list[str] = []

    def why_not(text: str) -> None:
        tried.append(text)

    monkeypatch.setattr(schema_trial, "why_not", why_not)
    grammars = [structures.compile("json_schema", schema) for _ in range(3)]
    assert grammars == [grammars[0]] * 3
    assert len(tried) == 1
    structures.compile("json_object", None)
    assert len(tried) == 1


def test_only_the_latest_grammars_are_kept(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    structures = Structures(tokenizer, {tokenizer.eos_token_id})
    monkeypatch.setattr(schema_trial, "why_not", lambda text: None)
    first = structures.compile("json_schema", {"const": 0})
    second = structures.compile("json_schema", {"const": 1})
    for number in range(2, 65):
        structures.compile("json_schema", {"const": 0})
        structures.compile("json_schema", {"const": number})
    assert structures.compile("json_schema", {"const": 0}) is first
    assert structures.compile("json_schema", {"const": 1}) is not second


def test_fields_come_in_the_order_of_the_schema(
    structures: Structures, answer: Callable[..., str]
) -> None:
    def fields(names: str) -> list[str]:
        properties = {name: {"type": "boolean"} for name in names}
        schema = {"type": "object", "properties": properties, "required": list(names)}
        return list(json.loads(answer(structures.compile("json_schema", schema), 0)))[:2]

    assert (fields("ab"), fields("ba")) == (["a", "b"], ["b", "a"])
