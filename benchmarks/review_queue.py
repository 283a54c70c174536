"""The review queue with much in it: a page, the next item, a decision, a search; and in a browser.

    python -m benchmarks.review_queue [--items N] [--decisions N] [--only functions|http|console]
                                      [--postgres] [--json]

Fills a fresh database (SQLite, or a PostgreSQL of its own) with corrections that wait for review,
brings the queue in order as the scheduler does, and then reviews: through the functions that the
routes call, each in a transaction of its own that is committed to the disk; over HTTP; and on the
console's page, in a headless Chromium; the last two with a `heed up` of their own behind them.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import review_console, review_functions, review_http, timed
from benchmarks.store_at_scale import database, fill

PARTS = ("functions", "http", "console")


def measure(
    *,
    items: int,
    decisions: int,
    visits: int = review_console.VISITS,
    parts: tuple[str, ...] = PARTS,
    postgres: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fill a queue with so many items and review some of them; returns what was measured.

    Args:
        items: that wait for review.
        decisions: of each part.
        visits: so often the page is opened anew.
        parts: ``functions``, ``http`` and ``console``, or some of them.
        postgres: PostgreSQL in place of SQLite.
        quiet: draw no progress.
    """
    with (
        tempfile.TemporaryDirectory(prefix="heed-") as scratch,
        database(postgres, Path(scratch)) as store,
    ):
        found: dict[str, Any] = {
            "database": "PostgreSQL" if postgres else "SQLite",
            "items": items,
            "load": list(os.getloadavg()),
        }
        began = time.perf_counter()
        # On every second exchange somebody speaks; half of those waits for review, and nothing for
        # a round, as where rounds go on beside.
        fill(store, 4 * items, 0, review=items, quiet=quiet)
        found["fill_seconds"] = time.perf_counter() - began
        functions = timed.Timed(review_functions.TARGET_SECONDS)
        review_functions.order(store, functions, quiet=quiet)
        found["order_seconds"] = time.perf_counter() - began - found["fill_seconds"]
        if "functions" in parts:
            memory = review_functions.review(store, decisions, functions, quiet=quiet)
            found["functions"] = {"memory_mib": memory, "seconds": functions.report()}
        if "http" in parts:
            found["http"] = review_http.measure(store, decisions=decisions)
        if "console" in parts:
            found["console"] = review_console.measure(
                store, decisions=decisions, visits=visits, quiet=quiet
            )
        return found


def show(found: dict[str, Any]) -> None:
    """Print what was measured."""
    print(
        f"{found['database']}, {found['items']:,} items in the queue (filled in "
        f"{found['fill_seconds']:.0f} s, put in order in {found['order_seconds']:.0f} s), "
        f"load {found['load'][0]:.1f}"
    )
    for part in PARTS:
        if part not in found:
            continue
        print(f"{part}:")
        for name, each in found[part]["seconds"].items():
            print(timed.line(name, each))
        for name, series in found[part].items():
            if name != "seconds":
                middle = series[len(series) // 2]
                print(f"  {name:<34}{series[0]:>9} at first, {middle} midway, {series[-1]} at last")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=100_000, help="that wait for review")
    parser.add_argument("--decisions", type=int, default=500, help="of each part")
    parser.add_argument("--only", choices=PARTS, help="one of the three parts")
    parser.add_argument("--postgres", action="store_true", help="PostgreSQL in place of SQLite")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args()
    found = measure(
        items=asked.items,
        decisions=asked.decisions,
        parts=(asked.only,) if asked.only else PARTS,
        postgres=asked.postgres,
        quiet=asked.json,
    )
    if asked.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
