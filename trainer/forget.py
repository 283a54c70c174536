"""Erasing a person from what rounds left behind: snapshots, memory, reports. Knows no key and no HTTP.

Weights are not touched: what an adapter has learned is in all of them. They are named instead, so
that they can be retrained without that person's words.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import delete
from sqlmodel import Session, col, select

from feedback.forget import FORGOTTEN, Traces, parts
from feedback.settings import PROJECT
from trainer import pair_store, pending, rebase, registry, snapshot
from trainer.gate import shortened
from trainer.models import Adapter, Deployment, LedgerEntry, PastExample, Retirement, Round
from trainer.references import FOLDER as REFERENCES

SNAPSHOTS = "snapshots"
LOST = " Lost: "
"""What follows in a report's summary quotes prompts and answers."""
QUOTES = ("prompt", "expected", "incumbent_answer", "candidate_answer")
NOT_NAMED = " What was lost is not named any more, since a person was forgotten."


@dataclass(frozen=True)
class Remains:
    """What rounds hold of one person.

    Attributes:
        past: ids of the past examples that were made of their words.
        rounds: ids of the rounds that worked with their words, with how many rows of theirs the
            snapshot holds.
    """

    past: frozenset[str]
    rounds: dict[str, int]


@dataclass(frozen=True)
class Taught:
    """An adapter that learned from somebody: directly, or from the adapter it descends from."""

    adapter: Adapter
    how: Literal["learned", "descends"]


def trace(session: Session, data_dir: Path, found: Traces) -> Remains:
    """Find what rounds hold of somebody. Writes nothing."""
    query = select(PastExample.id, PastExample.feedback_ids).where(
        PastExample.project_id == PROJECT
    )
    past = frozenset(
        name
        for name, feedback_ids in session.exec(query)
        if not found.feedback.isdisjoint(feedback_ids)
    )
    theirs, rounds = _theirs(found), {}
    for folder in _snapshots(data_dir):
        rows = snapshot.count(folder, theirs)
        # The manifest still names what an erasure that was cut off had dropped already.
        if rows or not found.feedback.isdisjoint(snapshot.feedback_ids(folder)):
            rounds[folder.name] = rows
    return Remains(past, rounds)


def erase_files(data_dir: Path, found: Traces) -> int:
    """Erase somebody from the files that rounds left. Only while no round runs.

    Answers that a model gave to a question, and what it found how likely, are dropped whole: they
    save time and nothing else.

    Returns:
        The number of snapshot rows that became tombstones.
    """
    for folder in ("answered", REFERENCES, "work"):
        shutil.rmtree(data_dir / folder, ignore_errors=True)
    theirs = _theirs(found)
    return sum(snapshot.forget(folder, theirs) for folder in _snapshots(data_dir))


def erase_rows(session: Session, found: Traces, remains: Remains) -> None:
    """Erase somebody from the rounds' tables. The caller commits."""
    waiting = pending.current(session, locked=True)
    if waiting is not None and (
        waiting.id in remains.rounds or found.feedback & pending.feedback_ids(waiting)
    ):
        # Its adapter learned from them; promoted later, it would serve what was to be forgotten.
        pending.end(session, waiting, pending.FORGOTTEN)
        session.flush()
    for part in parts(remains.past):
        session.execute(delete(Retirement).where(col(Retirement.past_id).in_(part)))
        session.execute(delete(PastExample).where(col(PastExample.id).in_(part)))
    for retirement in session.exec(select(Retirement)):
        if retirement.new_target in found.texts or retirement.past_id in found.feedback:
            retirement.new_target = ""
            session.add(retirement)
    names = remains.past | found.feedback | found.exchanges
    for part in parts(names):
        session.execute(delete(LedgerEntry).where(col(LedgerEntry.item_id).in_(part)))
    pair_store.erase(session, names, found.person_ids)
    quoted = {shortened(text) for text in found.texts}
    touched = [
        row.id
        for row in session.exec(select(Round).where(Round.project_id == PROJECT))
        if _scrub(session, row, names, quoted, held=row.id in remains.rounds)
    ]
    for part in parts(f"round {name}" for name in touched):
        for deployment in session.exec(select(Deployment).where(col(Deployment.actor).in_(part))):
            deployment.reason = _unnamed(deployment.reason)
            session.add(deployment)


def taught(session: Session, found: Traces, remains: Remains) -> list[Taught]:
    """Return the adapters that learned from somebody, newest first, those that descend included.

    One that started afresh has nothing of its parent's weights: it learned from whom its own
    snapshot holds.
    """
    learned = set(found.adapters)
    for part in parts(remains.rounds):
        made = select(Adapter.id).where(col(Adapter.round_id).in_(part))
        learned.update(session.exec(made))
    afresh = rebase.afresh(session)
    known: dict[str, Taught] = {}
    for row in reversed(registry.adapters(session)):  # parents come before their children
        if row.id in learned:
            known[row.id] = Taught(row, "learned")
        elif row.parent_id in known and row.round_id not in afresh:
            known[row.id] = Taught(row, "descends")
    return list(known.values())[::-1]


def _theirs(found: Traces) -> Callable[[dict[str, Any]], bool]:
    people = set(found.person_ids)
    return lambda row: (
        row["cluster"] in people or not found.feedback.isdisjoint(row["feedback_ids"])
    )


def _snapshots(data_dir: Path) -> Iterable[Path]:
    folders = sorted((data_dir / SNAPSHOTS).glob("*"))
    files = (snapshot.MANIFEST, snapshot.ROWS)
    return [folder for folder in folders if all((folder / name).is_file() for name in files)]


def _scrub(
    session: Session, row: Round, names: frozenset[str], quoted: set[str], *, held: bool
) -> bool:
    """Take somebody's words out of a round's report; returns whether there were any."""
    report: dict[str, Any] | None = row.report
    if report is None:
        return False
    report = json.loads(json.dumps(report))  # a change within it would not be seen
    hers = [item for item in report.get("caught", []) if item["item_id"] in names]
    said = re.findall("“([^“”]*)”", report.get("summary", ""))
    if not (held or hers or quoted.intersection(said)):
        return False
    for item in hers:
        item.update(dict.fromkeys(QUOTES, FORGOTTEN))
    report["summary"] = _unnamed(report.get("summary", ""))
    row.report, row.message = report, _unnamed(row.message)
    session.add(row)
    return True


def _unnamed(summary: str) -> str:
    before, found, _ = summary.partition(LOST)
    return before + NOT_NAMED if found else summary
