"""Seconds that a round takes to claim ten thousand votes: weighing, marking, reading them back.

    python -m benchmarks.harvest [--votes N] [--clicked N] [--url URL] [--repeat N] [--json]

On a fresh database (SQLite in a temporary folder, or an empty one that `--url` names). Half of the
answers have signals beside the vote, and `--clicked` more have signals alone. Weighing holds no
lock; the marks are written in one transaction. Processor seconds stand beside the clock's, which on
a busy machine tell more.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlmodel import SQLModel

from feedback import harvest
from feedback.ids import new_id
from feedback.models import Exchange, Feedback, Person, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from serving import schema
from tests import builders

TARGET_SECONDS = 2.0
PEOPLE = 2_000
AT_ONCE = 2_000
GOOD_SHARE = 0.7
WORDS = [f"word{number}" for number in range(2_000)]


def fill(store: Store, *, votes: int, clicked: int) -> None:
    """Write exchanges with votes and signals."""
    draw = random.Random(0)
    now = time.time()
    rows: dict[type[SQLModel], list[dict[str, Any]]] = {
        kind: [] for kind in (Person, Exchange, Feedback, Receipt)
    }
    for number in range(PEOPLE):
        rows[Person].append(
            Person(
                id=builders.person(str(number)),
                key_id="key1",
                first_seen_at=now - builders.DAY_SECONDS * (2 + number / 100),
            ).model_dump()
        )
    for number in range(votes + clicked):
        who = str(draw.randrange(PEOPLE))
        asked = builders.exchange(
            who=who,
            # A third of the questions comes again, so that there is something to agree on.
            question=f"{' '.join(draw.choices(WORDS, k=8))}" if number % 3 else "How much is it?",
            answer=" ".join(draw.choices(WORDS, k=60)) if number % 3 else f"{number % 50} dollars.",
            conversation_id=f"conversation {number // 3}",
            turn=number % 3 + 1,
            created_at=now - 100_000 + number,
        )
        rows[Exchange].append(asked.model_dump())
        satisfied = draw.random() < GOOD_SHARE
        told: list[dict[str, Any]] = []
        if number < votes:
            agreed = draw.random() < 0.9
            told.append({"rating": float(satisfied == agreed)})
        if number >= votes or draw.random() < 0.5:
            told.append({"signal": "dwell", "value": draw.lognormvariate(2 + satisfied, 1)})
            if draw.random() < (0.6 if satisfied else 0.1):
                told.append({"signal": "copy"})
        for body in told:
            name = new_id("fbk")
            rows[Feedback].append(
                Feedback(
                    id=name,
                    event_id=name,
                    body_hash="0" * 64,
                    exchange_id=asked.id,
                    person_id=asked.person_id,
                    key_id="key_1",
                    body=body,
                    told_at=now,
                    received_at=now,
                    rating=body.get("rating"),
                    signal=body.get("signal"),
                ).model_dump()
            )
            receipt = Receipt(
                feedback_id=name,
                status="waiting",
                reason="Waits.",
                teaches="rating" in body,
                updated_at=now,
            )
            rows[Receipt].append(receipt.model_dump())
    with store.session(write=True) as session:
        for kind, some in rows.items():
            for start in range(0, len(some), AT_ONCE):
                session.execute(insert(kind), some[start : start + AT_ONCE])
        session.commit()


def measure(store: Store) -> dict[str, Any]:
    """Claim everything as a round does, and give it back."""
    found: dict[str, Any] = {}
    total, processor = time.perf_counter(), time.process_time()

    def timed(name: str, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = act()
        found[f"{name}_seconds"] = time.perf_counter() - began
        return result

    with store.session() as session:
        weights = timed("weigh", lambda: harvest.weigh(session, store.settings))
    with store.session(write=True) as session:

        def claim() -> int:
            held = harvest.claim(session, store.settings, "rnd_benchmark", weights)
            session.commit()
            return held

        found["claimed"] = timed("claim", claim)
    with store.session() as session:
        words = timed("words", lambda: harvest.words(session, "rnd_benchmark"))
    found["words"] = len(words)
    found["signals"] = sum(word.kind == "signal" for word in words)
    found["total_seconds"] = time.perf_counter() - total
    found["processor_seconds"] = time.process_time() - processor
    with store.session(write=True) as session:
        harvest.release(session, "rnd_benchmark", "Measured.")
        session.commit()
    return found


def main() -> int:
    """Fill a database, claim it a few times, and print how long it took."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--votes", type=int, default=10_000)
    reader.add_argument("--clicked", type=int, default=5_000)
    reader.add_argument("--repeat", type=int, default=3)
    reader.add_argument("--url", help="an empty database; by default a fresh SQLite file")
    reader.add_argument("--json", action="store_true")
    asked = reader.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(FeedbackSettings(data_dir=Path(folder), database_url=asked.url))
        schema.upgrade(store)
        fill(store, votes=asked.votes, clicked=asked.clicked)
        runs = [measure(store) for _ in range(asked.repeat)]
        store.close()
    if asked.json:
        print(json.dumps({"target_seconds": TARGET_SECONDS, "runs": runs}, indent=1))
    else:
        for run in runs:
            print(
                ", ".join(
                    f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
                    for name, value in run.items()
                )
            )
    # The first run also loads the libraries, which a round's process does once.
    return 0 if min(run["total_seconds"] for run in runs) < TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
