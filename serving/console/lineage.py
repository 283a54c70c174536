"""The line of descent as a picture: every version a row, the newest on top, branches in lanes. Pure.

Where each version stands is worked out here. The picture is SVG with no script and no style of its own
but names of classes, and every text in it is escaped. Knows no NiceGUI.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from serving.console.words import plain

BASE = "base"
ROW_PIXELS = 34
LANE_PIXELS = 18
_EDGE = 14
_NAME, _STATE, _MADE = 14, 106, 180
"""Where the columns of words begin, to the right of the lanes."""
_WORDS = 280
_MUTED = ("rejected", "retired")
_SHOWN_CHARACTERS = 8


class Version(Protocol):
    """What is known of a version."""

    id: str
    parent_id: str | None
    state: str
    created_at: float


@dataclass(frozen=True)
class Node:
    """One version in the picture.

    Attributes:
        name: its id, or `base`.
        state: of the adapter; for the base model `live` while it answers, else empty.
        row: 0 is the newest, on top; the base model is the last.
        lane: 0 is the line of what is live; a branch keeps its lane.
        parent: the name it descends from; None for the base model.
        created_at: Unix seconds; None for the base model.
    """

    name: str
    state: str
    row: int
    lane: int
    parent: str | None
    created_at: float | None = None


def layout(versions: Sequence[Version], live_id: str | None) -> list[Node]:
    """Place every version: by age from the bottom up, each branch in a lane of its own.

    A version continues its parent's lane where it is the one among its siblings that leads to what
    is live, or else the oldest that was not rejected. What descends from something that is not on
    record stands on the base model.

    Args:
        versions: in any order; none twice.
        live_id: the live adapter; None where the base model answers.

    Returns:
        The base model first, then the others, the oldest first.
    """
    # Ids tell when they were made; a parent is on record before its children.
    known = {each.id: each for each in sorted(versions, key=lambda version: version.id)}
    ages = {BASE: 0, **{name: age for age, name in enumerate(known, 1)}}
    parents = {
        name: each.parent_id
        if each.parent_id in known and ages[str(each.parent_id)] < ages[name]
        else BASE
        for name, each in known.items()
    }
    line = _line(parents, live_id)
    heirs: dict[str, str] = {}
    for name in sorted(
        known, key=lambda name: (name not in line, known[name].state == "rejected", name)
    ):
        heirs.setdefault(str(parents[name]), name)
    lanes = {BASE: 0}
    taken: list[list[tuple[int, int]]] = [[(0, ages[_end(BASE, heirs)])]]
    for name, parent in parents.items():
        if heirs[str(parent)] == name:
            lanes[name] = lanes[str(parent)]
            continue
        span = (ages[str(parent)] + 1, ages[_end(name, heirs)])
        lanes[name] = next(
            (lane for lane, spans in enumerate(taken) if lane and _free(span, spans)), len(taken)
        )
        if lanes[name] == len(taken):
            taken.append([])
        taken[lanes[name]].append(span)
    last = len(known)
    base = Node(BASE, "live" if live_id is None else "", last, 0, None)
    return [
        base,
        *(
            Node(name, each.state, last - ages[name], lanes[name], parents[name], each.created_at)
            for name, each in known.items()
        ),
    ]


def svg(nodes: Sequence[Node], *, chosen: str = "") -> str:
    """Return the picture; every adapter in it is a link to its page.

    Args:
        nodes: from `layout`.
        chosen: the version that is marked as the one the page is about.
    """
    start = max(node.lane for node in nodes) * LANE_PIXELS + _EDGE + 6
    width, height = start + _WORDS, len(nodes) * ROW_PIXELS
    places = {node.name: node for node in nodes}
    edges = [_edge(places[node.parent], node) for node in nodes if node.parent is not None]
    drawn = [_drawn(node, start, width, chosen=node.name == chosen) for node in reversed(nodes)]
    return (
        f'<svg class="heed-tree" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="group" aria-label="Line of descent">'
        f"{''.join(edges)}{''.join(drawn)}</svg>"
    )


def short(name: str) -> str:
    """Return the end of an id, by which people tell versions apart."""
    return name if len(name) <= _SHOWN_CHARACTERS + 4 else f"…{name[-_SHOWN_CHARACTERS:]}"


def _line(parents: Mapping[str, str | None], live_id: str | None) -> set[str]:
    """The live adapter and its ancestors."""
    found: set[str] = set()
    name = live_id
    while name is not None and name in parents:
        found.add(name)
        name = parents[name]
    return found


def _end(name: str, heirs: Mapping[str, str]) -> str:
    """The last version in the lane that this one is in."""
    while name in heirs:
        name = heirs[name]
    return name


def _free(span: tuple[int, int], taken: Sequence[tuple[int, int]]) -> bool:
    return all(span[1] < first or last < span[0] for first, last in taken)


def _place(node: Node) -> tuple[int, int]:
    return _EDGE + node.lane * LANE_PIXELS, node.row * ROW_PIXELS + ROW_PIXELS // 2


def _edge(parent: Node, child: Node) -> str:
    (x, y), (to_x, to_y) = _place(parent), _place(child)
    muted = " muted" if child.lane and child.state in _MUTED else ""
    if x == to_x:
        return f'<path class="edge{muted}" d="M{x} {y}V{to_y}"/>'
    turn = y - ROW_PIXELS
    bend = f"C{x} {y - ROW_PIXELS * 2 // 3} {to_x} {y - ROW_PIXELS // 3} {to_x} {turn}"
    return f'<path class="edge{muted}" d="M{x} {y}{bend}V{to_y}"/>'


def _drawn(node: Node, start: int, width: int, *, chosen: bool) -> str:
    x, y = _place(node)
    kind = node.state or "base"
    name = "base model" if node.name == BASE else short(node.name)
    told = f"{node.name}, {kind}" if node.state else "the base model"
    made = ""
    if node.created_at is not None:
        made = datetime.fromtimestamp(node.created_at, UTC).strftime("%d %b %H:%M")
    inside = (
        f"<title>{plain(told)}</title>"
        f'<rect x="0" y="{y - ROW_PIXELS // 2}" width="{width}" height="{ROW_PIXELS}" rx="7"/>'
        f'<circle cx="{x}" cy="{y}" r="{6 if node.state in ("live", "canary") else 4.5}"/>'
        f'<text x="{start + _NAME}" y="{y + 4}">{plain(name)}</text>'
        f'<text class="state" x="{start + _STATE}" y="{y + 4}">{plain(node.state)}</text>'
        f'<text class="made" x="{start + _MADE}" y="{y + 4}">{plain(made)}</text>'
    )
    classes = f"node {plain(kind)}{' chosen' if chosen else ''}"
    if node.name == BASE:
        return f'<g class="{classes}">{inside}</g>'
    return (
        f'<a class="{classes}" href="/console/adapters/{plain(node.name)}" '
        f'aria-label="{plain(told)}">{inside}</a>'
    )
