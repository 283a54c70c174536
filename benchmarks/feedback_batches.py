"""Feedback in batches beside SQLite alone, inserting the same rows.

    python -m benchmarks.feedback_batches [--events N] [--lines N] [--senders N] [--repeat N] [--json]

One side posts NDJSON to ``/v1/feedback/batch`` of ``heed up`` with one worker. The other inserts rows
of the same shape into a database of the same tables and indexes with `executemany` in this process:
one transaction for as many events as a batch has lines, the same WAL and ``synchronous=FULL``, rows
made beforehand, nothing read or checked. The sides alternate, and the median of the ratios is kept.
"""

import argparse
import asyncio
import itertools
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysqlite3

from benchmarks import ingest_server, load, models
from feedback.intake import Event, Kept
from feedback.settings import FeedbackSettings
from feedback.store import Store

TARGET, AIM = 0.25, 0.5
PEOPLE = 1000


class Raw:
    """SQLite alone: rows that Heed has written, inserted again into a database without them."""

    def __init__(self, written: Path, folder: Path) -> None:
        folder.mkdir()
        file = folder / "raw.sqlite3"
        shutil.copy(written, file)
        self._connection: sqlite3.Connection = pysqlite3.connect(str(file), isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._events = self._taken_out("feedback", Event._fields)
        self._receipts = self._taken_out("receipt", Kept._fields)

    def insert(self, events: int, lines: int) -> float:
        """Insert events and their receipts, `lines` in one transaction; returns events per second."""
        self._connection.execute("DELETE FROM receipt")
        self._connection.execute("DELETE FROM feedback")
        began = time.perf_counter()
        for at in range(0, events, lines):
            self._connection.execute("BEGIN IMMEDIATE")
            self._many("feedback", Event._fields, self._events[at : at + lines])
            self._many("receipt", Kept._fields, self._receipts[at : at + lines])
            self._connection.execute("COMMIT")
        return events / (time.perf_counter() - began)

    def _taken_out(self, table: str, columns: tuple[str, ...]) -> list[Any]:
        order = "received_at, id" if table == "feedback" else "updated_at, feedback_id"
        query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"
        return self._connection.execute(query).fetchall()

    def _many(self, table: str, columns: tuple[str, ...], rows: list[Any]) -> None:
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows
        )


async def measure(asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Alternate both sides; returns their rates and the ratio."""
    numbers = itertools.count()
    batches, raw_rates = [], []
    with ingest_server.running(scratch / "data") as (host, port):
        named = ingest_server.completions(host, port, 50)

        def requests() -> Iterator[bytes]:
            for _ in range(asked.events // asked.lines):
                some = itertools.islice(numbers, asked.lines)
                body = b"\n".join(_line(number, named) for number in some)
                yield load.post("/v1/feedback/batch", body, kind="application/x-ndjson")

        async def over_http() -> float:
            ready = iter(list(requests()))  # made beforehand, as the rows are
            per_second = await load.as_fast_as_it_goes(host, port, ready, asked.senders, 200)
            return per_second * float(asked.lines)

        await over_http()  # warm, and what the other side inserts
        raw = Raw(_written(scratch / "data", scratch), scratch / "raw")
        events = asked.events // asked.lines * asked.lines
        raw.insert(events, asked.lines)
        for repeat in range(asked.repeat):
            for side in models.shuffled(["heed", "raw"], repeat):
                if side == "heed":
                    batches.append(await over_http())
                else:
                    raw_rates.append(raw.insert(events, asked.lines))
    return {
        "events": events,
        "lines": asked.lines,
        "senders": asked.senders,
        "repeat": asked.repeat,
        "heed_events_per_second": models.median(batches),
        "sqlite_events_per_second": models.median(raw_rates),
        "heed_over_sqlite": models.median(
            [heed / alone for heed, alone in zip(batches, raw_rates, strict=True)]
        ),
        "target": TARGET,
        "aim": AIM,
    }


def _line(number: int, named: list[str]) -> bytes:
    said: dict[str, Any] = {
        "completion_id": named[number % len(named)],
        "event_id": f"evt-{number}",
        "user": f"user-{number % PEOPLE}",
    }
    kind = number % 4
    if kind == 0:
        said |= {"rating": "up"}
    elif kind == 1:
        said |= {"rating": "down", "reasons": ["too long"]}
    elif kind == 2:
        said |= {"signal": "copy"}
    else:
        said |= {"signal": "dwell", "value": number % 60 + 0.5}
    return json.dumps(said).encode()


def _written(data: Path, scratch: Path) -> Path:
    """A consistent copy of the server's database."""
    copy = scratch / "copy.sqlite3"
    store = Store(FeedbackSettings(data_dir=data))
    with store.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")  # VACUUM wants no transaction around it
        connection.exec_driver_sql(f"VACUUM INTO '{copy}'")
    store.close()
    return copy


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000, help="of each side, in each repeat")
    parser.add_argument("--lines", type=int, default=1000, help="in a batch and a transaction")
    parser.add_argument("--senders", type=int, default=2, help="batches that are sent at once")
    parser.add_argument("--repeat", type=int, default=7, help="alternations; medians are kept")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(measure(asked, Path(scratch)))
    if asked.json:
        print(json.dumps(found))
        return
    print(
        f"{found['events']:,} events, {asked.lines:,} in a batch and a transaction, {asked.senders} "
        f"senders; median of {asked.repeat} (lowest–highest)"
    )
    print(f"  feedback over HTTP  {found['heed_events_per_second']['median']:>8.0f} events/s")
    print(f"  SQLite alone        {found['sqlite_events_per_second']['median']:>8.0f} events/s")
    print(f"  ratio: {models.shown(found['heed_over_sqlite'])}  target {TARGET}, aim {AIM}")


if __name__ == "__main__":
    main()
