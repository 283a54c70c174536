"""Posting many pieces of feedback and reading what became of each. Does no I/O, knows no queue.

In batches where the server takes them, one by one where it does not, or where a whole batch is
refused and the line at fault has to be found.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from heed_client.calls import fault_of, read_receipt
from heed_client.errors import (
    Busy,
    Forbidden,
    HeedError,
    NotFound,
    TimedOut,
    Unauthorized,
    Unavailable,
    Unexpected,
    is_temporary,
    of_answer,
)
from heed_client.steps import Answer, Ask, Steps, ask

BATCH_LINES = 1_000
"""Of the 10,000 that the server takes: more at once is hardly faster, and its answer comes later."""
BATCH_BYTES = 16 * 1024 * 1024
NDJSON = "application/x-ndjson"
_NO_SUCH_ROUTE = (404, 405)
_FIND_THE_LINE = (400, 413, 415, 422, 500)
"""What one bad line can make of a whole batch."""


@dataclass(frozen=True)
class Taken:
    """The server has it, under this id."""

    feedback_id: str


@dataclass(frozen=True)
class Refused:
    """The server will never take it."""

    fault: HeedError


@dataclass(frozen=True)
class Postponed:
    """Not now; `fault` is None where it was not tried, because its neighbour failed."""

    fault: HeedError | None


Result: TypeAlias = Taken | Refused | Postponed


class Posting:
    """Posts lines; remembers whether the server takes batches, and how large it answers in time."""

    def __init__(self) -> None:
        self._one_by_one = False
        self._most_lines = BATCH_LINES

    def post(self, lines: Sequence[bytes]) -> Steps[list[Result]]:
        """Post lines; returns a result per line, in order.

        Raises:
            HeedError: nothing can be delivered now, whatever the line.
        """
        results: list[Result] = []
        for batch in batches(lines, self._most_lines):
            try:
                results += yield from self._batch(batch)
                self._most_lines = min(BATCH_LINES, 2 * self._most_lines)
            except HeedError as fault:
                if isinstance(fault, TimedOut):
                    self._most_lines = max(1, len(batch) // 2)
                if not results:
                    raise
                # What was settled stays so, or a long parcel might never come to its end.
                untried = len(lines) - len(results) - 1
                return [*results, Postponed(fault), *[Postponed(None)] * untried]
        return results

    def _batch(self, lines: Sequence[bytes]) -> Steps[list[Result]]:
        if self._one_by_one:
            return (yield from self._each(lines))
        content = b"".join(line + b"\n" for line in lines)
        answer = yield from ask(Ask("POST", "/feedback/batch", content, NDJSON))
        if answer.status == 200:
            return read_results(answer, len(lines))
        if answer.status == 413 and len(lines) > 1:  # something in between takes less than Heed
            half = len(lines) // 2
            first = yield from self._batch(lines[:half])
            return first + (yield from self._batch(lines[half:]))
        if answer.status in _NO_SUCH_ROUTE:
            self._one_by_one = True
        elif answer.status not in _FIND_THE_LINE:
            raise fault_of(answer)
        return (yield from self._each(lines))

    def _each(self, lines: Sequence[bytes]) -> Steps[list[Result]]:
        results: list[Result] = []
        for line in lines:
            answer = yield from ask(Ask("POST", "/feedback", line))
            try:
                results.append(Taken(read_receipt(answer).id))
            except HeedError as fault:
                if _concerns_all(fault):
                    self._one_by_one = False  # perhaps nothing of Heed's was there
                    raise
                if isinstance(fault, Unavailable):
                    untried = len(lines) - len(results) - 1
                    return [*results, Postponed(fault), *[Postponed(None)] * untried]
                results.append(Refused(fault))
        return results


def batches(lines: Sequence[bytes], most_lines: int) -> Iterator[list[bytes]]:
    """Cut lines into batches: so many lines and 16 MiB at most."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == most_lines or size + len(line) + 1 > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    if batch:
        yield batch


def read_results(answer: Answer, count: int) -> list[Result]:
    """Read the answer to a batch: a line for each of its `count` lines.

    What was not answered is postponed; delivered again, it is the same event.

    Raises:
        Unexpected: no line of it can be read.
    """
    said = [_read(line) for line in answer.body.split(b"\n") if line.strip()]
    if not any(said):
        raise Unexpected(
            "A batch was answered without results; does `base_url` name Heed?",
            status=answer.status,
        )
    return [_result(said[at] if at < len(said) else {}) for at in range(count)]


def _read(line: bytes) -> dict[str, Any]:
    """Return a result as it was sent; empty where it is none."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) and isinstance(data.get("status"), int) else {}


def _result(said: dict[str, Any]) -> Result:
    status = said.get("status", 0)
    if status in (200, 201) and isinstance(said.get("id"), str):
        return Taken(said["id"])
    if status < 400:
        return Postponed(Unavailable("The batch's answer lacks the result of a line."))
    fault = of_answer(status, json.dumps(said).encode())
    return Postponed(fault) if is_temporary(fault) else Refused(fault)


def _concerns_all(fault: HeedError) -> bool:
    """Whether the next line would fare no better: the key, the address, or the pace is at fault."""
    if isinstance(fault, NotFound):
        return fault.param is None  # the route; what a field names has that field
    return isinstance(fault, Unauthorized | Forbidden | Busy | Unexpected) or fault.status == 405
