"""The line of descent as it is drawn, two versions compared, and a round's remaining time."""

from collections import Counter
from dataclasses import dataclass

import pytest

from serving.console import lineage, loss_curve, round_live, versus
from serving.console.lineage import BASE, Node
from trainer.ledger import Line, Mark
from trainer.models import Round


@dataclass
class Known:
    """A version on record."""

    id: str
    parent_id: str | None = None
    state: str = "retired"
    created_at: float = 0.0


def placed(*versions: Known, live: str | None = None) -> dict[str, Node]:
    return {node.name: node for node in lineage.layout(versions, live)}


def test_what_is_live_stands_in_one_line_and_others_beside_it() -> None:
    found = placed(
        Known("a1"),
        Known("a2", "a1", "rejected"),
        Known("a3", "a1", "live"),
        Known("a4", "a3", "canary"),
        live="a3",
    )
    assert {name: node.lane for name, node in found.items()} == {
        BASE: 0,
        "a1": 0,
        "a2": 1,
        "a3": 0,
        "a4": 0,
    }
    assert [node.name for node in sorted(found.values(), key=lambda node: node.row)] == [
        *("a4", "a3", "a2", "a1", BASE)
    ]
    assert found[BASE].state == "" and placed()[BASE].state == "live"


def test_no_two_of_fifty_versions_share_a_place_and_no_lane_runs_through_another() -> None:
    versions = [Known("a00")]
    for number in range(1, 50):
        parent = versions[max(0, number - 1 - number % 4)].id
        versions.append(Known(f"a{number:02}", parent, "rejected" if number % 3 else "retired"))
    nodes = lineage.layout(versions, "a49")
    assert len({node.row for node in nodes}) == 51
    places = {node.name: node for node in nodes}
    rows = {(node.row, node.lane) for node in nodes}
    for node in nodes[1:]:
        origin = places[str(node.parent)]
        assert origin.row > node.row
        between = {(row, node.lane) for row in range(node.row + 1, origin.row)}
        assert not between & rows, f"the line to {node.name} runs through another version"
    # Two branches never share a lane over the same rows: nobody could tell them apart.
    drawn = Counter(
        (row, node.lane)
        for node in nodes[1:]
        for row in range(node.row, places[str(node.parent)].row)
    )
    assert {place: count for place, count in drawn.items() if count > 1} == {}


def test_a_parent_that_is_not_on_record_and_a_circle_end_at_the_base_model() -> None:
    found = placed(Known("a1", "gone"), Known("a2", "a3"), Known("a3", "a2"), live="a3")
    assert [found[name].parent for name in ("a1", "a2", "a3")] == [BASE, BASE, "a2"]


def test_a_picture_shows_every_name_as_text_and_marks_what_it_is_about() -> None:
    drawn = lineage.svg(lineage.layout([Known("<b>&x", state="live")], "<b>&x"), chosen="<b>&x")
    assert "<b>" not in drawn and "&lt;b&gt;&amp;x, live" in drawn
    assert 'class="node live chosen"' in drawn


def test_a_curve_is_drawn_whatever_became_of_the_loss() -> None:
    steps = [{"step": n, "steps": 3, "loss": loss} for n, loss in ((1, 2.0), (2, float("nan")))]
    assert loss_curve.svg(steps).count("<polyline") == 1
    assert loss_curve.told(steps) == "Loss 2 → unknown in 2 of 3 steps"
    assert "nan" not in loss_curve.svg([{"step": 1, "steps": 1, "loss": float("nan")}])


@pytest.mark.parametrize(
    ("progress", "started", "said"),
    [
        (0.5, None, "waits for its process"),
        (0.01, 0.0, "1%"),
        (0.5, 0.0, "50% · about 2 minutes left"),
        (0.75, 0.0, "75% · about 40 seconds left"),
    ],
)
def test_the_time_left_is_told_once_it_can_be(
    progress: float, started: float | None, said: str
) -> None:
    row = Round(
        id="rnd_1", trigger="test", plan={}, created_at=0, progress=progress, started_at=started
    )
    assert round_live.left(row, 120.0) == said


def line(item: str, a: bool, b: bool, *, kind: str = "protected", suite: str = "world") -> Line:
    return Line(kind, suite, item, None, (Mark("r1", "base", a), Mark("r1", "adp", b)))


def test_two_versions_meet_on_the_items_that_judged_both() -> None:
    lines = [
        *(line(f"kept{n}", True, True) for n in range(8)),
        line("lost", True, False),
        line("gained", False, True),
        line("first", False, True, kind="new", suite="new corrections"),
        line("old", True, True, kind="past", suite="past material"),
        Line("protected", "world", "apart", None, (Mark("r2", "base", True),)),
    ]
    past, world = versus.suites(lines, "base", "adp")
    assert (past.items, past.b_right - past.a_right) == (2, 1)
    assert (world.items, world.a_right, world.b_right, world.estimate) == (10, 9, 9, 0.0)
    assert [each.item_id for each in world.only_a] == ["lost"]
    assert [each.item_id for each in world.only_b] == ["gained"]
    assert world.lower < 0 < world.upper
    assert versus.suites(lines, "adp", "nobody") == []
