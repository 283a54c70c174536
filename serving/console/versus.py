"""Two versions on the items that judged both: by suite, with what only one of them gets right. Pure.

Counts what the ledger says. Knows no NiceGUI and no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.ledger import Line


@dataclass(frozen=True)
class Suite:
    """Two versions, `a` and `b`, on one suite's items.

    Attributes:
        kind: of the suite.
        name: of the suite.
        items: how many both were asked.
        a_right, b_right: how many each has right.
        only_a, only_b: items that only the one has right.
        estimate, lower, upper: b minus a in points, with one-sided 95% bounds.
    """

    kind: str
    name: str
    items: int
    a_right: int
    b_right: int
    only_a: tuple[Line, ...]
    only_b: tuple[Line, ...]
    estimate: float
    lower: float
    upper: float


def suites(lines: Sequence[Line], a: str, b: str) -> list[Suite]:
    """Compare two versions on every suite of which both were asked something.

    Held-out corrections count as past material: that is what they become.

    Args:
        lines: the ledger's history.
        a: an adapter's id, or `base`.
        b: another.
    """
    found: dict[tuple[str, str], list[tuple[Line, bool, bool]]] = {}
    for line in lines:
        marks = {mark.adapter: mark.right for mark in line.marks}
        if a in marks and b in marks:
            own = line.kind in ("new", "past")
            key = ("past", "corrections, past and new") if own else (line.kind, line.suite)
            found.setdefault(key, []).append((line, marks[a], marks[b]))
    return [_suite(kind, name, rows) for (kind, name), rows in sorted(found.items())]


def _suite(kind: str, name: str, rows: Sequence[tuple[Line, bool, bool]]) -> Suite:
    from trainer.intervals import (
        paired_difference,
    )  # SciPy, which the console needs for nothing else

    found = paired_difference(
        [right_b - right_a for _, right_a, right_b in rows], [line.item_id for line, _, _ in rows]
    )
    return Suite(
        kind=kind,
        name=name,
        items=len(rows),
        a_right=sum(right_a for _, right_a, _ in rows),
        b_right=sum(right_b for _, _, right_b in rows),
        only_a=tuple(line for line, right_a, right_b in rows if right_a and not right_b),
        only_b=tuple(line for line, right_a, right_b in rows if right_b and not right_a),
        estimate=100 * found.estimate,
        lower=100 * found.lower,
        upper=100 * found.upper,
    )
