"""Suites: questions with a known good answer, and whether an answer passes.

Reads suite files. Knows no model, no database and no gate.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedback.errors import Invalid
from trainer.examples import Message

Check = Literal["exact", "contains", "regex", "refused"]

_STRAIGHT = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"'})


@dataclass(frozen=True)
class Item:
    """One question with what a good answer to it must be.

    Attributes:
        id: names the item; no other item of the same file has it.
        suite: the suite that it counts for.
        messages: the conversation before the answer.
        expected: what the check compares the answer with.
        check: `exact` (see `agrees`), `contains` (as whole words, whatever their case), `regex`
            (found anywhere, as written), or `refused` (the answer says that it does not know, in
            one of the phrases that `|` separates).
        cluster: items that stand or fall together share it; by default the item stands alone.
        margin_points: how far its suite may fall, in points, where not as the plan says.
        protected: whether only the keeper of the suite may change it.
    """

    id: str
    suite: str
    messages: tuple[Message, ...]
    expected: str
    check: Check = "exact"
    cluster: str = ""
    margin_points: float | None = None
    protected: bool = True

    def __post_init__(self) -> None:
        if not self.cluster:
            object.__setattr__(self, "cluster", self.id)


def load(path: Path, *, protected: bool = True) -> list[Item]:
    """Read a suite file: JSON lines of `id`, `suite`, `prompt` or `messages`, `expected`, `check`.

    `cluster` and `margin_points` may be added. Empty lines do not count.

    Args:
        path: the file, in UTF-8.
        protected: what its items are.

    Raises:
        Invalid: the file cannot be read, is empty, repeats an id, or has a faulty line; names the
            line, the field and what to do.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{path} cannot be read ({error}). Give a JSONL file in UTF-8.", param="path"
        ) from error
    seen: dict[str, int] = {}
    items = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        item = _parse(line, f"{path}, line {number}", protected)
        if item.id in seen:
            raise Invalid(
                f"{path}, line {number}: id {item.id!r} stands on line {seen[item.id]} already. "
                "Give every item an id of its own.",
                param="id",
            )
        seen[item.id] = number
        items.append(item)
    if not items:
        raise Invalid(
            f"{path} holds no item. Write one JSON object per line, or remove the setting.",
            param="path",
        )
    return items


def passes(item: Item, answer: str) -> bool:
    """Whether an answer is as the item wants it."""
    match item.check:
        case "exact":
            return agrees(answer, item.expected)
        case "contains":
            return _has_words(answer, [item.expected])
        case "refused":
            return _has_words(answer, item.expected.split("|"))
        case "regex":
            return re.search(item.expected, answer) is not None


def agrees(answer: str, correction: str) -> bool:
    """Whether two answers are the same but for case, spacing and the punctuation at their end."""
    return _bare(answer) == _bare(correction)


def _parse(line: str, where: str, protected: bool) -> Item:
    try:
        row = _Row.model_validate(json.loads(line))
    except ValueError as error:
        if not isinstance(error, ValidationError):
            raise Invalid(
                f"{where} is no JSON ({error}). Write one object per line.", param="line"
            ) from error
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise Invalid(
            f"{where}, `{field}`: {first['msg']}. A line has id, suite, prompt or messages, "
            "expected, check and, where wanted, cluster and margin_points; correct it.",
            param=field,
        ) from error
    fault = _fault(row)
    if fault is not None:
        field, what = fault
        raise Invalid(f"{where}, `{field}`: {what}", param=field)
    turns = row.messages or [_Turn(role="user", content=row.prompt or "")]
    return Item(
        id=row.id,
        suite=row.suite,
        messages=tuple(Message(role=turn.role, content=turn.content) for turn in turns),
        expected=row.expected,
        check=row.check,
        cluster=row.cluster or row.id,
        margin_points=row.margin_points,
        protected=protected,
    )


def _fault(row: "_Row") -> tuple[str, str] | None:
    if (row.prompt is None) == (row.messages is None):
        return "prompt", "give either a prompt or messages, not both and not neither."
    if row.messages is not None and row.messages[-1].role != "user":
        return "messages", "the last one must be the user's; remove what follows it."
    if row.check == "regex":
        try:
            re.compile(row.expected)
        except re.error as error:
            return "expected", f"{row.expected!r} is no regular expression ({error}); correct it."
    elif not all(phrase.strip() for phrase in _phrases(row)):
        return "expected", "an empty phrase matches every answer; write one or remove the `|`."
    return None


def _phrases(row: "_Row") -> list[str]:
    return row.expected.split("|") if row.check == "refused" else [row.expected]


def _has_words(answer: str, phrases: Iterable[str]) -> bool:
    """Whether a phrase stands in the answer, and not as part of a longer word or number."""
    text = _folded(answer)
    return any(
        re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(_folded(phrase))}(?!\w)(?![.,]\d)", text)
        for phrase in phrases
    )


def _bare(text: str) -> str:
    folded = _folded(text)
    return folded.rstrip(" .!?。") or folded


def _folded(text: str) -> str:
    """Case, spacing and the shape of quotes and full-width letters do not count."""
    plain = unicodedata.normalize("NFKC", text).translate(_STRAIGHT)
    return " ".join(plain.casefold().split())


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1)
    suite: str = Field(min_length=1)
    prompt: str | None = Field(None, min_length=1)
    messages: list[_Turn] | None = Field(None, min_length=1)
    expected: str = Field(min_length=1)
    check: Check
    cluster: str | None = Field(None, min_length=1)
    margin_points: float | None = Field(None, gt=0, allow_inf_nan=False)
