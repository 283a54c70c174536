"""How long an import takes and how much memory it needs: Open WebUI's feedback, made up and taken in.

    python -m benchmarks.import_rows [--rows 20000 100000] [--format openwebui|trl|langfuse] [--json]

Each size is a process of its own, so that its peak of memory is its own; ``heed feedback import`` is
what runs in it, on a fresh data folder with SQLite. Memory is flat where the peaks of two sizes are
about the same.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

TARGET_SECONDS = 60.0
TARGET_ROWS = 100_000
PEOPLE = 997
_MODELS = ("llama3.1:8b", "qwen3:14b")
_WORDS = [
    "the",
    "lamp",
    "costs",
    "delivery",
    "takes",
    "days",
    "order",
    "number",
    "please",
    "shop",
    "open",
    "until",
    "returns",
    "paid",
]


def openwebui(rows: int) -> Iterator[str]:
    """One big array, as Open WebUI writes it: a rated answer, its chat, every fourth with a sibling."""
    for number in range(rows):
        opening = "[" if number == 0 else ", "
        yield opening + json.dumps(_rating(number))
    yield "]"


def trl(rows: int) -> Iterator[str]:
    """Unpaired preferences, a row per line."""
    for number in range(rows):
        yield (
            json.dumps(
                {
                    "prompt": [{"role": "user", "content": _text(number, 12)}],
                    "completion": [{"role": "assistant", "content": _text(number + 7, 40)}],
                    "label": number % 3 != 0,
                }
            )
            + "\n"
        )


def langfuse(rows: int) -> Iterator[str]:
    """Scores and the observations they are about, to be joined; the scores come first."""
    for number in range(rows):
        about = {"trace_id": _uuid(number, 1), "observation_id": _uuid(number, 2)}
        score = {"id": _uuid(number, 3), "name": "user-feedback", "value": number % 2}
        yield json.dumps({**score, **about, "data_type": "BOOLEAN", "source": "API"}) + "\n"
    for number in range(rows):
        asked = [{"role": "user", "content": _text(number, 12)}]
        answer = {"role": "assistant", "content": _text(number + 7, 40)}
        row = {"id": _uuid(number, 2), "trace_id": _uuid(number, 1), "type": "GENERATION"}
        yield json.dumps({**row, "input": json.dumps(asked), "output": json.dumps(answer)}) + "\n"


MAKERS = {"openwebui": openwebui, "trl": trl, "langfuse": langfuse}


def measure(rows: int, shape: str, scratch: Path) -> dict[str, Any]:
    """Import so many rows in a process of its own; seconds and its peak of resident memory."""
    path = scratch / f"{shape}-{rows}.json"
    with path.open("w") as file:
        file.writelines(MAKERS[shape](rows))
    arguments = ["feedback", "import", str(path), "--format", shape, "--json"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HEED_")},
        "HEED_FEEDBACK__DATA_DIR": str(scratch / f"data-{rows}"),
    }
    code = "from serving.cli import main; main()"
    out = scratch / f"out-{rows}.json"
    begun = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code, *arguments],
        environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(out), os.O_WRONLY | os.O_CREAT, 0o600)],
    )
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begun
    if status != 0:
        raise SystemExit(f"the import ended with {os.waitstatus_to_exitcode(status)}")
    found = json.loads(out.read_text())
    if (found["read"], found["imported"], found["skipped"]) != (rows, rows, 0):
        raise SystemExit(f"the import did not take everything: {found}")
    return {
        "rows": rows,
        "file_mib": round(path.stat().st_size / 2**20, 1),
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(_bytes(usage) / 2**20, 1),
        "exchanges": found["exchanges"],
    }


def main() -> None:
    """Measure every size and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--format", choices=MAKERS, default="openwebui")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = []
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as scratch:
            found.append(measure(rows, asked.format, Path(scratch)))
        if not asked.json:
            print(
                f"{rows:>10,} rows of {asked.format} ({found[-1]['file_mib']:,} MiB): "
                f"{found[-1]['seconds']} s ({found[-1]['cpu_seconds']} s of processor), {found[-1]['rows_per_second']:,} rows/s, "
                f"peak {found[-1]['peak_mib']} MiB"
            )
    if asked.json:
        print(json.dumps({"format": asked.format, "sizes": found}))
    else:
        print(f"target: {TARGET_ROWS:,} rows of openwebui within {TARGET_SECONDS:g} s, memory flat")


def _rating(number: int) -> dict[str, Any]:
    question, answer, other = (_uuid(number, kind) for kind in (1, 2, 3))
    at = 1_700_000_000 + number
    messages: dict[str, Any] = {
        question: {
            "id": question,
            "parentId": None,
            "childrenIds": [answer, other] if number % 4 == 0 else [answer],
            "role": "user",
            "content": _text(number, 12),
            "timestamp": at,
        },
        answer: _answer(answer, question, _text(number + 7, 60), at + 2, _MODELS[0]),
    }
    if number % 4 == 0:
        messages[other] = _answer(other, question, _text(number + 3, 60), at + 2, _MODELS[1])
    chat_id = _uuid(number, 4)
    return {
        "id": _uuid(number, 5),
        "user_id": _uuid(number % PEOPLE, 6),
        "version": 0,
        "type": "rating",
        "data": {
            "rating": 1 if number % 3 else -1,
            "model_id": _MODELS[0],
            "sibling_model_ids": [_MODELS[1]] if number % 4 == 0 else None,
            "reason": "accurate_information" if number % 3 else "not_helpful",
            "comment": _text(number, 9) if number % 5 == 0 else "",
            "tags": ["shop"],
            "details": {"rating": number % 10 + 1},
        },
        "meta": {
            "model_id": _MODELS[0],
            "message_id": answer,
            "message_index": 2,
            "chat_id": chat_id,
            "base_models": {_MODELS[0]: None},
        },
        "snapshot": {
            "chat": {
                "id": chat_id,
                "title": _text(number, 3),
                "chat": {"history": {"messages": messages, "currentId": answer}},
            }
        },
        "created_at": at + 5,
        "updated_at": at + 6,
    }


def _answer(name: str, parent: str, text: str, at: int, model: str) -> dict[str, Any]:
    return {
        "id": name,
        "parentId": parent,
        "childrenIds": [],
        "role": "assistant",
        "content": text,
        "model": model,
        "timestamp": at,
    }


def _text(number: int, words: int) -> str:
    chosen = (_WORDS[(number * 31 + at * at * 7) % len(_WORDS)] for at in range(words))
    return f"{' '.join(chosen)} {number}."


def _uuid(number: int, kind: int) -> str:
    return str(UUID(int=(kind << 100) + number, version=4))


def _bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
