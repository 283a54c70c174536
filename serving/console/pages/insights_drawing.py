"""The drawings of the Insights page, as SVG that stretches with the page. Pure; knows no NiceGUI.

Every text has been through `words.plain`. Lines keep their width however a drawing is stretched, so
what has to keep its shape, as letters do, stands beside the SVG in HTML. Colours are CSS classes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from feedback.proportions import wilson
from serving.console.words import plain

FATES = (
    ("learned", "learned", "good"),
    ("held_out", "kept aside to judge", "busy"),
    ("accepted", "accepted, waiting for a round", "soft"),
    ("edited", "edited, waiting for a round", "edited"),
    ("waiting", "waiting for a reviewer", "warn"),
    ("refused", "refused", "bad"),
)
"""What can become of a correction: its name, the words for it, its colour."""
LENGTHS: Mapping[str, timedelta] = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=28),
}
_TWO_DAYS = timedelta(days=2)


class Point(NamedTuple):
    """A share at a time: (day, share, low, high), and how many votes it rests on."""

    day: date
    share: float
    low: float
    high: float
    votes: int


def points(steps: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Return the steps of a series as points; steps without votes are left out."""
    return [
        Point(
            date.fromisoformat(each["from"]),
            each["share"],
            each["low"],
            each["high"],
            each["votes"],
        )
        for each in steps
        if "share" in each
    ]


def satisfaction(line: Sequence[Point], *, begin: date, end: date, label: str) -> str:
    """Draw a share over time with its 95% intervals, from 0 to 100%.

    Args:
        line: in the order of time; not empty.
        begin, end: the days at the left and the right.
        label: the same in words.
    """
    ticks = "".join(
        f'<span style="top:{100 - share}%">{share}%</span>' for share in (0, 25, 50, 75, 100)
    )
    lines = "".join(f'<path class="grid" d="M0 {y}H100"/>' for y in (0, 25, 50, 75, 100))
    return _framed(lines + _line(line, begin, end), ticks, _days(begin, end), label)


def spark(line: Sequence[Point], *, begin: date, end: date, label: str) -> str:
    """Draw the same small, without axes."""
    middle = '<path class="grid" d="M0 50H100"/>'
    return (
        f'<div class="insights-spark" role="img" aria-label="{plain(label)}">'
        f"{_svg(middle + _line(line, begin, end))}</div>"
    )


def stacks(
    steps: Sequence[Mapping[str, Any]], *, begin: date, end: date, every: str, label: str
) -> str:
    """Draw how many corrections came in each step, and what became of them.

    Args:
        steps: with `from` and a count for each of `FATES`.
        begin, end: the days at the left and the right.
        every: how long a step is.
        label: the same in words.
    """
    most = _round_up(max(each["corrections"] for each in steps))
    at = _scale(begin, end + LENGTHS[every])
    width = max(0.8, 0.8 * (at(begin + LENGTHS[every]) - at(begin)))
    drawn = ['<path class="grid" d="M0 0H100M0 50H100M0 100H100"/>']
    for step in steps:
        day, top = date.fromisoformat(step["from"]), 100.0
        left = at(max(day, begin)) + width / 8
        for name, said, colour in FATES:
            if not step[name]:
                continue
            height = 100 * step[name] / most
            top -= height
            told = f"{day.isoformat()}: {step[name]} {said}"
            drawn.append(
                f'<rect class="{colour}" x="{left:.2f}" y="{top:.2f}" width="{width:.2f}" '
                f'height="{height:.2f}"><title>{plain(told)}</title></rect>'
            )
    ticks = "".join(
        f'<span style="top:{100 - 100 * count / most:.1f}%">{count:g}</span>'
        for count in (0, most / 2, most)
    )
    return _framed("".join(drawn), ticks, _days(begin, end), label)


def reliability(bins: Sequence[Mapping[str, Any]], *, label: str) -> str:
    """Draw what was predicted against what was true, with the intervals of what was true.

    On the diagonal the probabilities are right (DeGroot and Fienberg 1983, *The comparison and
    evaluation of forecasters*).

    Args:
        bins: with `predicted`, `observed` and `count`.
        label: the same in words.
    """
    drawn = ['<path class="grid" d="M0 0H100V100H0Z"/><path class="ideal" d="M0 100L100 0"/>']
    for each in bins:
        x, y = 100 * each["predicted"], 100 - 100 * each["observed"]
        low, high = wilson(each["observed"], each["count"])
        told = (
            f"{each['count']} answers: {each['predicted']:.0%} predicted, "
            f"{each['observed']:.0%} were satisfied ({low:.0%} to {high:.0%})"
        )
        drawn.append(
            f'<path class="whisker" d="M{x:.2f} {100 - 100 * low:.2f}V{100 - 100 * high:.2f}"/>'
            f'<path class="point" d="M{x:.2f} {y:.2f}h0"><title>{plain(told)}</title></path>'
        )
    ticks = "".join(f'<span style="top:{100 - each}%">{each}%</span>' for each in (0, 50, 100))
    below = "".join(
        f'<span class="{edge}" style="left:{each}%">{each}%</span>'
        for each, edge in ((0, "first"), (50, ""), (100, "last"))
    )
    return _framed("".join(drawn), ticks, below, label, "square")


def legend(counts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Return what colours mean: (colour, words, count), without what there is nothing of."""
    return [(colour, said, counts[name]) for name, said, colour in FATES if counts[name]]


def _line(line: Sequence[Point], begin: date, end: date) -> str:
    at = _scale(begin, end)
    above = [f"{at(each.day):.2f} {100 - 100 * each.high:.2f}" for each in line]
    below = [f"{at(each.day):.2f} {100 - 100 * each.low:.2f}" for each in reversed(line)]
    middle = [f"{at(each.day):.2f} {100 - 100 * each.share:.2f}" for each in line]
    drawn = []
    if len(line) > 1:
        drawn.append(f'<path class="band" d="M{"L".join((*above, *below))}Z"/>')
        drawn.append(f'<path class="line" d="M{"L".join(middle)}"/>')
    else:
        drawn.append(f'<path class="whisker" d="M{above[0]}L{below[0]}"/>')
    for each, where in zip(line, middle, strict=True):
        told = (
            f"{each.day.isoformat()}: {each.share:.0%} satisfied "
            f"({each.low:.0%} to {each.high:.0%}), {each.votes} votes"
        )
        drawn.append(f'<path class="point" d="M{where}h0"><title>{plain(told)}</title></path>')
    return "".join(drawn)


def _framed(drawn: str, ticks: str, below: str, label: str, shape: str = "") -> str:
    return (
        f'<div class="insights-chart {shape}" role="img" aria-label="{plain(label)}">'
        f'<div class="ticks">{ticks}</div>{_svg(drawn)}<div class="below">{below}</div></div>'
    )


def _svg(drawn: str) -> str:
    return f'<svg viewBox="0 0 100 100" preserveAspectRatio="none">{drawn}</svg>'


def _scale(begin: date, end: date) -> Callable[[date], float]:
    """Where a day lies, in hundredths of the width; what is before the beginning, there."""
    length = (end - begin) / timedelta(days=1)

    def at(day: date) -> float:
        if length <= 0:
            return 50.0
        return min(max(100 * ((day - begin) / timedelta(days=1)) / length, 0.0), 100.0)

    return at


def _days(begin: date, end: date) -> str:
    """The days below a drawing: its ends, and its middle where that is another day."""
    shown = [(begin, 0.0, "first"), (end, 100.0, "last")]
    if end - begin > _TWO_DAYS:
        shown.insert(1, (begin + (end - begin) / 2, 50.0, ""))
    if begin == end:
        shown = [(begin, 50.0, "")]
    return "".join(
        f'<span class="{edge}" style="left:{where}%">{day.day} {day:%b}</span>'
        for day, where, edge in shown
    )


def _round_up(count: int) -> int:
    """The next even number, so that the middle of the scale is whole."""
    return max(2, count + count % 2)
