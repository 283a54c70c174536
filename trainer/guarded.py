"""What a shop guards: the suites that people added, and those that come as files. No torch.

Added suites lie in the database, not in files of the data folder: they are added whole or not at
all, a round reads all of them at one moment, and every replica and the API see the same. Knows no
model and no verdict.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from feedback.errors import Conflict, Invalid, NotFound
from feedback.settings import PROJECT
from trainer import registry, suite_files
from trainer.examples import Message
from trainer.models import PastExample, Retirement, Suite
from trainer.settings import Plan
from trainer.suites import Item

SUITE = Path("suites") / "protected.jsonl"
"""Where a shop may keep what it protects as a file, within the data folder."""
PAST = "past corrections"
"""The suite that grows by itself, from corrections that reviewers approved."""
RESERVED = (PAST, "past material", "new corrections", "new", "past")
MOST_NAME = 200


@dataclass(frozen=True)
class Kept:
    """One suite, wherever it is kept.

    Attributes:
        name: of the suite.
        kind: what it is for.
        origin: `added`, `file`, `starter` or `grown`; only added ones can be removed here.
        items: in their order.
    """

    name: str
    kind: str
    origin: str
    items: tuple[Item, ...]


def add(session: Session, items: Sequence[Item], *, name: str | None = None) -> list[Suite]:
    """Add the suites of a file, all or none. The caller commits.

    Args:
        session: a writing session.
        items: as read from a file; their `suite` names the suites.
        name: puts all items into one suite of this name instead.

    Raises:
        Conflict: there is a suite of that name already.
        Invalid: items of a suite are of several kinds, two have one id, or the name is taken by
            what Heed itself keeps.
    """
    by_suite: dict[str, list[Item]] = {}
    for item in items:
        own = replace(item, suite=name) if name is not None else item
        by_suite.setdefault(own.suite, []).append(own)
    return [_add(session, suite, members) for suite, members in by_suite.items()]


def remove(session: Session, name: str) -> Suite:
    """Remove an added suite and return it. The caller commits.

    Raises:
        NotFound: nobody added a suite of that name.
    """
    row = session.get(Suite, (PROJECT, name))
    if row is None:
        raise NotFound(
            f"Nobody added a suite {name!r} (`heed suite list`); suites of files, of the starter "
            "and of past corrections are not removed here.",
            param="name",
        )
    session.delete(row)
    return row


def suites(session: Session, plan: Plan, data_dir: Path) -> list[Kept]:
    """Return every suite: added ones, those of files or the starter, and past corrections.

    Raises:
        Invalid: the protected file is missing or faulty.
    """
    found = _added(session)
    by_suite: dict[str, list[Item]] = {}
    for item in file_items(plan, data_dir):
        by_suite.setdefault(item.suite, []).append(item)
    origin = "starter" if _of_starter(plan, data_dir) else "file"
    found += [
        Kept(name, members[0].kind, origin, tuple(members)) for name, members in by_suite.items()
    ]
    past = tuple(past_corrections(session))
    return [*found, Kept(PAST, "past", "grown", past)]


def get(session: Session, plan: Plan, data_dir: Path, name: str) -> Kept:
    """Return one suite.

    Raises:
        NotFound: there is none of that name.
    """
    for kept in suites(session, plan, data_dir):
        if kept.name == name:
            return kept
    raise NotFound(f"No suite {name!r}; `heed suite list` shows them.", param="name")


def items(session: Session, plan: Plan, data_dir: Path) -> list[Item]:
    """Return what no round may break: the items of files and of added suites.

    Raises:
        Invalid: the protected file is missing or faulty.
    """
    added = [item for kept in _added(session) for item in kept.items]
    return [*added, *file_items(plan, data_dir)]


def file_items(plan: Plan, data_dir: Path) -> list[Item]:
    """Return the items of the protected file.

    The setting names it; else ``suites/protected.jsonl`` in the data folder, where there is one;
    else the starter model brings its own.

    Raises:
        Invalid: the file is missing or a line of it is faulty; names the line.
    """
    if _of_starter(plan, data_dir):
        return list(_starters())
    kept = Path(plan.protected_file) if plan.protected_file else data_dir / SUITE
    if not plan.protected_file and not kept.exists():
        return []
    state = kept.stat() if kept.is_file() else None  # what reads it says what is wrong with it
    return list(_loaded(kept, state and (state.st_ino, state.st_mtime_ns, state.st_size)))


def past_corrections(session: Session) -> list[Item]:
    """Return the past corrections that judge rounds: held out, learned since, still true."""
    deployment = registry.live(session)
    live_id = deployment.live_id if deployment else None
    rounds = {adapter.round_id for adapter in registry.lineage(session, live_id)}
    gone = select(Retirement.past_id).where(col(Retirement.round_id).in_(rounds))
    rows = session.exec(
        select(PastExample)
        .where(
            PastExample.project_id == PROJECT,
            PastExample.split == "judge",
            col(PastExample.round_id).in_(rounds),
            col(PastExample.id).not_in(gone),
        )
        .order_by(col(PastExample.id))
    )
    return [
        Item(
            id=row.id,
            suite=PAST,
            messages=tuple(Message(role=m["role"], content=m["content"]) for m in row.messages),
            expected=row.target,
            cluster=row.cluster,
            protected=False,
        )
        for row in rows
    ]


def _added(session: Session) -> list[Kept]:
    rows = session.exec(select(Suite).where(Suite.project_id == PROJECT).order_by(col(Suite.name)))
    return [Kept(row.name, row.kind, "added", tuple(_items(row))) for row in rows]


@lru_cache(maxsize=8)  # a reviewer's every correction is compared with all of them
def _loaded(path: Path, state: tuple[int, int, int] | None) -> tuple[Item, ...]:
    """A suite's file, read again once its state (inode, time, size) is another."""
    return tuple(suite_files.load(path))


@cache
def _starters() -> tuple[Item, ...]:
    from trainer.starter.candour import traps
    from trainer.starter.pool import protected_suite

    rows: tuple[Mapping[str, Any], ...] = (*protected_suite(), *traps())
    return tuple(
        Item(
            id=row["id"],
            suite=row["suite"],
            messages=(Message(role="user", content=row["prompt"]),),
            expected=row["expected"],
            check=row["check"],
            kind=row.get("kind", "protected"),
            wished=row.get("wished"),
        )
        for row in rows
    )


def _add(session: Session, name: str, members: Sequence[Item]) -> Suite:
    if not 0 < len(name.strip()) <= MOST_NAME or name in RESERVED:
        raise Invalid(
            f"A suite cannot be called {name!r}; choose another name (`--name`).", param="suite"
        )
    kinds = {item.kind for item in members}
    if len(kinds) > 1:
        raise Invalid(
            f"The suite {name!r} has items of the kinds {', '.join(sorted(kinds))}; a suite is of "
            "one kind. Split it.",
            param="kind",
        )
    twice, count = Counter(item.id for item in members).most_common(1)[0]
    if count > 1:
        raise Invalid(f"The suite {name!r} has two items {twice!r}; rename one.", param="id")
    if session.get(Suite, (PROJECT, name)) is not None:
        raise Conflict(
            f"There is a suite {name!r} already. Remove it first (`heed suite remove`), or add "
            "this one under another name (`--name`)."
        )
    rows = [suite_files.to_row(item) for item in members]
    content = json.dumps(rows, sort_keys=True, ensure_ascii=False)
    row = Suite(
        name=name,
        kind=kinds.pop(),
        items=rows,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        created_at=time.time(),
    )
    session.add(row)
    return row


def _items(row: Suite) -> list[Item]:
    return [
        suite_files.from_row(each, f"suite {row.name!r}, item {number}")
        for number, each in enumerate(row.items, start=1)
    ]


def _of_starter(plan: Plan, data_dir: Path) -> bool:
    given = plan.protected_file is not None or (data_dir / SUITE).exists()
    return plan.base_model == "starter" and not given
