"""Telling formats apart by their first rows. Knows how each looks, and reads none of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from feedback.errors import Invalid

SAMPLE = 20
"""So many rows of a file are looked at before anything is taken from it."""

Row = dict[str, Any]

LOOKS: dict[str, Callable[[Row], bool]] = {
    "heed": lambda row: row.get("type") in ("heed", "person", "exchange", "feedback"),
    "openwebui": lambda row: (
        _has(row, "snapshot") or (_has(row, "data", "meta") and isinstance(row["data"], dict))
    ),
    "langfuse": lambda row: (
        (
            bool({"trace_id", "traceId"} & row.keys())
            and bool({"data_type", "dataType", "observation_id", "observationId"} & row.keys())
        )
        or (
            bool({"projectId", "project_id", "user_id", "userId"} & row.keys())
            and bool({"input", "output"} & row.keys())
        )
        or row.get("type") in ("GENERATION", "SPAN", "EVENT")
    ),
    "langsmith": lambda row: _has(row, "run_id", "key") or _has(row, "run_type", "inputs"),
    "chainlit": lambda row: (
        bool({"forId", "stepId"} & row.keys())
        or _has(row, "threadId", "type")
        or _has(row, "userId", "createdAt")
        or (isinstance(row.get("steps"), list) and not isinstance(row.get("prompt"), str | list))
    ),
    "sharegpt": lambda row: bool({"conversations", "conversation"} & row.keys()),
    "openai": lambda row: _has(row, "preferred_output") or _has(row, "messages"),
    "trl": lambda row: any(
        _has(row, *columns)
        for columns in (
            ("prompt",),
            ("chosen", "rejected"),
            ("messages",),
            ("text",),
            ("prompt", "completion"),
        )
    ),
    "argilla": lambda row: (
        any(isinstance(name, str) and name.endswith(".responses") for name in row)
        or _has(row, "fields", "responses")
    ),
    "mlflow": lambda row: (
        bool({"assessment_id", "assessment_name", "assessments"} & row.keys())
        or (_has(row, "info") and isinstance(row["info"], dict))
        or _has(row, "trace_id", "request", "response")
    ),
    "tensorzero": lambda row: bool(
        {"metric_name", "target_id", "inference_id", "variant_name"} & row.keys()
    ),
}


class WrongFormat(Invalid):
    """A file does not look like the format that was named."""


def check(name: str, file: str, sample: Sequence[Any]) -> None:
    """Check that a file's first rows are of a format.

    Raises:
        WrongFormat: none of them is; says which format they look like.
    """
    objects = [row for row in sample if isinstance(row, dict)]
    if any(LOOKS[name](row) for row in objects):
        return
    guesses = list(dict.fromkeys(_guesses(objects)))
    if guesses:
        hint = f"It looks like {' or '.join(guesses)}: try --format {guesses[0]}."
    elif objects:
        hint = f"Its first row has the keys {', '.join(sorted(map(str, objects[0]))[:12])}."
    else:
        hint = "Its rows are no JSON objects."
    raise WrongFormat(f"{file} does not look like {name}. {hint}")


def _guesses(objects: Sequence[Row]) -> Iterator[str]:
    for name, looks in LOOKS.items():
        if objects and all(looks(row) for row in objects):
            yield name


def _has(row: Row, *names: str) -> bool:
    return all(name in row for name in names)
