"""Puts the rows of Heed's own export back as they were: ids, receipts and reviews included.

Knows no other format. A row that is on record is left alone, whatever became of it since.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, col, select

from feedback import trust
from feedback.errors import Invalid
from feedback.formats import heed, heed_lines
from feedback.formats.json_rows import TOO_DEEP, Row
from feedback.formats.records import Place, Skipped, Tally, Unusable
from feedback.formats.rowwise import recognised
from feedback.formats.source import Source
from feedback.formats.texts import size_bytes, strings
from feedback.models import Exchange, Feedback, Person, Receipt, Review
from feedback.settings import PROJECT
from feedback.store import Store

BATCH_ROWS = 500
BATCH_BYTES = 4 << 20
ORPHAN = "its exchange is neither in the file before it nor on record"
NO_CHOICE = "about an answer that its exchange does not have"


@dataclass
class _Rows:
    """The lines of one transaction."""

    rows: list[tuple[Place, str, dict[str, Any]]] = field(default_factory=list)
    bytes: int = 0


def teaches(row: dict[str, Any]) -> bool:
    """Whether a round could learn from a line of feedback: the one column that no line holds."""
    edited = any(review["decision"] == "edit" for review in row["reviews"])
    return edited or trust.teaches(row["rating"], row["correction"], row["preferred_over"])


def load(
    store: Store, sources: Iterable[Source], tally: Tally, report: Callable[[Skipped], None]
) -> set[str]:
    """Put back what the sources hold. Commits, batch by batch.

    Returns:
        The ids of the keys under which the people of the file are hashed.

    Raises:
        Invalid: a source is no export of Heed's, or of a newer version.
    """
    keys: set[str] = set()
    batch = _Rows()

    def skip(place: Place, reason: str, detail: str = "") -> None:
        tally.skip(reason)
        report(Skipped(place, reason, detail))

    for entry in _lines(sources):
        if isinstance(entry, Skipped):
            skip(entry.place, entry.reason, entry.detail)
            continue
        try:
            kind, row = heed_lines.checked(entry.value)
            size = sum(map(size_bytes, strings(row)))
        except RecursionError:
            skip(entry.place, TOO_DEEP)
            continue
        except Unusable as fault:
            skip(entry.place, fault.reason)
            continue
        except ValueError as fault:
            skip(entry.place, str(fault))
            continue
        if kind == "person":
            keys.add(row["key_id"])
        batch.rows.append((entry.place, kind, row))
        batch.bytes += size
        if len(batch.rows) >= BATCH_ROWS or batch.bytes >= BATCH_BYTES:
            _flush(store, batch.rows, tally, skip)
            batch = _Rows()
    _flush(store, batch.rows, tally, skip)
    return keys


def _lines(sources: Iterable[Source]) -> Iterator[Row | Skipped]:
    for source in sources:
        for entry in recognised(heed.NAME, source):
            line = entry.value if isinstance(entry, Row) else None
            if isinstance(line, dict) and line.get("type") == heed.NAME:
                _header(line, source.name)
            else:
                yield entry


def _header(line: dict[str, Any], name: str) -> None:
    version = line.get("version")
    if version != heed.VERSION:
        raise Invalid(
            f"{name} has version {version!r} of the format, and this Heed reads {heed.VERSION}. "
            "Export it again with a Heed of this version, or import it with the one that wrote it."
        )


def _flush(
    store: Store,
    rows: Sequence[tuple[Place, str, dict[str, Any]]],
    tally: Tally,
    skip: Callable[..., None],
) -> None:
    if not rows:
        return
    for last in (False, True):
        try:
            with store.session(write=True) as session:
                added, refused = _insert(session, rows)
                session.commit()
        except IntegrityError as error:
            # Another process wrote some of the same rows at the same moment; now they are seen.
            if last:
                raise Invalid(
                    f"{rows[0][0].source}, lines {rows[0][0].line:,} to {rows[-1][0].line:,}: an id "
                    "in there is on record for something else. Nothing of these lines was taken."
                ) from error
        else:
            break
    for place, reason in refused:
        skip(place, reason)
    done = len(rows) - len(refused)
    new = sum(added.values())
    tally.read += done
    tally.imported += new
    tally.duplicates += done - new
    tally.exchanges += added["exchange"]
    tally.feedback += added["feedback"]


def _insert(
    session: Session, rows: Sequence[tuple[Place, str, dict[str, Any]]]
) -> tuple[dict[str, int], list[tuple[Place, str]]]:
    """Insert what is not on record: how many of each kind, and which lines are about nothing."""
    people = _present(
        session, Person, "id", [row["id"] for _, kind, row in rows if kind == "person"]
    )
    named = [row["id"] for _, kind, row in rows if kind == "exchange"]
    named += [row["exchange_id"] for _, kind, row in rows if kind == "feedback"]
    exchanges = _answers(session, named)
    told = [row for _, kind, row in rows if kind == "feedback"]
    feedback = _present(session, Feedback, "id", [row["id"] for row in told])
    events = _present(session, Feedback, "event_id", [row["event_id"] for row in told])
    fresh: dict[type[SQLModel], list[dict[str, Any]]] = {
        kind: [] for kind in (Person, Exchange, Feedback, Receipt, Review)
    }
    refused = []
    for place, kind, row in rows:
        if kind == "person" and row["id"] not in people:
            people.add(row["id"])
            fresh[Person].append(row)
        elif kind == "exchange" and row["id"] not in exchanges:
            exchanges[row["id"]] = len(row["choices"])
            fresh[Exchange].append(row)
        elif kind == "feedback" and row["id"] not in feedback and row["event_id"] not in events:
            about = row["exchange_id"]
            if about is not None and row["choice"] >= exchanges.get(about, 0):
                refused.append((place, NO_CHOICE if about in exchanges else ORPHAN))
                continue
            feedback.add(row["id"])
            events.add(row["event_id"])
            beside = {"feedback_id": row["id"], "project_id": row["project_id"]}
            fresh[Receipt].append({**row["receipt"], **beside, "teaches": teaches(row)})
            fresh[Review] += [{**review, **beside} for review in row["reviews"]]
            said = {name: row[name] for name in row if name not in ("receipt", "reviews")}
            fresh[Feedback].append(said)
    for table, new in fresh.items():
        if new:
            session.execute(insert(table), new)
    added = {
        kind: len(fresh[table])
        for kind, table in (("person", Person), ("exchange", Exchange), ("feedback", Feedback))
    }
    return added, refused


def _answers(session: Session, names: Sequence[str | None]) -> dict[str, int]:
    """How many answers the exchanges on record have."""
    wanted = sorted({name for name in names if name is not None})
    query = select(Exchange.id, func.json_array_length(Exchange.choices)).where(
        Exchange.project_id == PROJECT, col(Exchange.id).in_(wanted)
    )
    return dict(session.exec(query).all()) if wanted else {}


def _present(session: Session, table: Any, column: str, values: Sequence[str | None]) -> set[str]:
    wanted = sorted({value for value in values if value is not None})
    if not wanted:
        return set()
    found = col(getattr(table, column))
    query = select(found).where(table.project_id == PROJECT, found.in_(wanted))
    return set(session.exec(query))
