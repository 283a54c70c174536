"""Suite files, as a product team writes them: YAML or JSON lines. Reads and checks, nothing else.

Knows no database and no model. A YAML file is a list of items, or a mapping of `suite`, `kind`,
`margin_points` and `check` for all of them and `items`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedback.errors import Invalid
from trainer.examples import Message
from trainer.suites import Check, Item, SuiteKind

YAML = (".yaml", ".yml")
MOST_BYTES = 16_000_000
"""A suite is asked in every round: a larger file is something else."""
_FIELDS = (
    "An item has id, suite, prompt or messages, expected, check and, where wanted, cluster, kind, "
    "margin_points, threshold and wished; correct it."
)


def load(path: Path, *, protected: bool = True, suite: str | None = None) -> list[Item]:
    """Read a suite file: items of `id`, `suite`, `prompt` or `messages`, `expected`, `check`.

    `cluster`, `kind`, `margin_points`, `threshold` (token_f1) and `wished` (sycophancy) may be
    added. `expected` is a JSON schema where the check is `json_schema`. In YAML, `suite`, `kind`,
    `margin_points`, `threshold` and `check` may stand once for all items, and an item without an
    id gets its number.

    Args:
        path: the file, in UTF-8; YAML where its name ends so, else JSON lines.
        protected: what its items are.
        suite: the name of the suite for items that name none.

    Raises:
        Invalid: the file cannot be read, is empty, repeats an id, or has a faulty item; names the
            line or item, the field and what to do.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Invalid(f"{path} is larger than {MOST_BYTES:,} bytes; split it.", param="path")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{path} cannot be read ({error}). Give a YAML or JSONL file in UTF-8.", param="path"
        ) from error
    yaml = path.suffix.lower() in YAML
    seen: dict[tuple[str, str], str] = {}
    items = []
    for row in _yaml(text, path) if yaml else _lines(text, path):
        fields = {**({} if suite is None else {"suite": suite}), **row.fields}
        item = _item(fields, row.where, protected)
        # Within one file as ever; a round's suites are kept apart by their names.
        key = ("", item.id) if not yaml else (item.suite, item.id)
        if key in seen:
            raise Invalid(
                f"{row.where}: id {item.id!r} stands on {seen[key]} already. Give every item an "
                "id of its own.",
                param="id",
            )
        seen[key] = row.where.removeprefix(f"{path}, ")
        items.append(item)
    if not items:
        raise Invalid(
            f"{path} holds no item. Write one JSON object per line or a YAML list, or remove the "
            "setting.",
            param="path",
        )
    return items


def to_row(item: Item) -> dict[str, Any]:
    """Return an item as a line of a suite file says it; what is as by default is left out."""
    row: dict[str, Any] = {"id": item.id, "suite": item.suite}
    if len(item.messages) == 1 and item.messages[0]["role"] == "user":
        row["prompt"] = item.messages[0]["content"]
    else:
        row["messages"] = [{**message} for message in item.messages]
    row |= {"expected": item.expected, "check": item.check}
    defaults = {"cluster": item.id, "kind": "protected"}
    for name in ("cluster", "kind", "margin_points", "threshold", "wished"):
        value = getattr(item, name)
        if value is not None and value != defaults.get(name):
            row[name] = value
    return row


def from_row(row: Mapping[str, Any], where: str) -> Item:
    """Return the item that `to_row` or a line of a file gave.

    Raises:
        Invalid: it is none; names where and the field.
    """
    return _item(dict(row), where, True)


@dataclass(frozen=True)
class _Read:
    where: str
    fields: dict[str, Any]


def _lines(text: str, path: Path) -> Iterator[_Read]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise Invalid(
                f"{where} is no JSON ({error}). Write one object per line.", param="line"
            ) from error
        if not isinstance(row, dict):
            raise Invalid(f"{where}, `line`: this is no object. {_FIELDS}", param="line")
        yield _Read(where, row)


def _yaml(text: str, path: Path) -> Iterator[_Read]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise Invalid(f"{path} is no YAML ({why}).", param="path") from error
    shared: dict[str, Any] = {}
    if isinstance(found, dict):
        shared = {str(name): value for name, value in found.items() if name != "items"}
        extra = shared.keys() - {"suite", "kind", "margin_points", "threshold", "check"}
        if extra or not isinstance(found.get("items"), list):
            what = f"`{min(extra)}` is not known there" if extra else "`items` is missing"
            raise Invalid(
                f"{path}: {what}. Write suite, kind, margin_points, threshold, check and items.",
                param="path",
            )
        found = found["items"]
    if found is None:
        return
    if not isinstance(found, list):
        raise Invalid(f"{path} is neither a list of items nor has `items`.", param="path")
    for number, row in enumerate(found, start=1):
        where = f"{path}, item {number}"
        if not isinstance(row, dict):
            raise Invalid(f"{where} is no mapping. {_FIELDS}", param="items")
        yield _Read(where, {"id": str(number), **shared, **row})


def _item(fields: dict[str, Any], where: str, protected: bool) -> Item:
    expected = fields.get("expected")
    if fields.get("check") == "json_schema" and isinstance(expected, dict | bool):
        fields = {**fields, "expected": json.dumps(expected)}
    try:
        row = _Row.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "line"
        raise Invalid(f"{where}, `{field}`: {first['msg']}. {_FIELDS}", param=field) from error
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
        kind=row.kind,
        threshold=row.threshold,
        wished=row.wished,
    )


def _fault(row: "_Row") -> tuple[str, str] | None:
    found = _misfit(row)
    if found is None and row.check == "regex":
        try:
            re.compile(row.expected)
        except re.error as error:
            return "expected", f"{row.expected!r} is no regular expression ({error}); correct it."
    elif found is None and row.check == "json_schema":
        return _faulty_schema(row.expected)
    return found


def _misfit(row: "_Row") -> tuple[str, str] | None:
    """What does not go together."""
    if (row.prompt is None) == (row.messages is None):
        return "prompt", "give either a prompt or messages, not both and not neither."
    if row.messages is not None and row.messages[-1].role != "user":
        return "messages", "the last one must be the user's; remove what follows it."
    if row.threshold is not None and row.check != "token_f1":
        return "threshold", "only token_f1 has one; remove it."
    if row.wished is not None and row.kind != "sycophancy":
        return "wished", "only items of kind sycophancy have it; remove it."
    for field, phrases in _phrases(row).items():
        if not all(phrase.strip() for phrase in phrases):
            return field, "an empty phrase matches every answer; write one or remove the `|`."
    return None


def _phrases(row: "_Row") -> dict[str, list[str]]:
    """What is looked for as it is written."""
    wished = {} if row.wished is None else {"wished": row.wished.split("|")}
    if row.check in ("regex", "json_schema"):
        return wished
    return wished | {
        "expected": row.expected.split("|") if row.check == "refused" else [row.expected]
    }


def _faulty_schema(text: str) -> tuple[str, str] | None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        schema = json.loads(text)
        validator_for(schema).check_schema(schema)
    except (ValueError, SchemaError) as error:
        first = str(error).splitlines()[0]
        return "expected", f"this is no JSON schema ({first}); correct it."
    if "$ref" in text and re.search(r'"\$ref"\s*:\s*"[^#"]', text):
        return "expected", "a schema refers to nothing outside itself; write it out."
    return None


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
    kind: SuiteKind = "protected"
    threshold: float | None = Field(None, gt=0, le=1)
    wished: str | None = Field(None, min_length=1)
