"""What reviewers made of a round's answers, drawn: how far they are, the result, every pair.

Takes what the API returns (`serving.pair_desk`). Before judging has ended it draws counts alone, which
tell nothing of whose answer is whose. Knows no SQL.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from feedback.text import counted
from serving.console import theme
from serving.console.theme import Tone

SHOWN_PAIRS = 20
"""The others fold out."""
_PREFERS: dict[str, tuple[str, Tone]] = {
    "candidate": ("after", "good"),
    "incumbent": ("before", "bad"),
    "tie": ("alike", "soft"),
    "both_bad": ("neither", "soft"),
}


def summary(round_id: str, found: Mapping[str, Any], *, may: bool) -> None:
    """Draw the part of a round's page that leads to its pairs; nothing where it has none.

    Args:
        round_id: of the round.
        found: as `pairs_wire.summary` returns it.
        may: whether whoever looks may judge.
    """
    if not found["pairs"]:
        return
    with theme.card("Before and after, judged blind"):
        if found["result"] is None:
            progress(found)
        if found["result"] is not None or found["ended"]:
            outcome(found["result"])
        judges = may and not found["ended"]
        link = ui.element("a").classes("heed-link-button main" if judges else "")
        link._props["href"] = f"/console/rounds/{round_id}/pairs"
        with link:
            theme.text("Judge them" if judges else "Every pair, with its answers")


def progress(found: Mapping[str, Any], left: int | None = None) -> None:
    """Draw how far the judging is.

    Args:
        found: as `pairs_wire.progress` returns it.
        left: pairs that are left for whoever looks, where that is known.
    """
    judged, pairs, needed = found["judged"], found["pairs"], found["needed"]
    theme.bar(judged / max(pairs, 1), f"{judged} of {pairs} judged")
    with theme.row("soft small"):
        theme.text(f"{judged} of {pairs} judged", "strong").props('role="status"')
        if needed and not found["ended"]:
            theme.text(f"{needed} more to go until they are counted")
        elif not found["ended"]:
            theme.text("enough: they are counted a minute after the last verdict")
        if left:
            theme.text(f"{left} left for you")


def outcome(result: Mapping[str, Any] | None) -> None:
    """Draw what came of it: who was preferred, how surely, and whether one side was favoured.

    Args:
        result: as `pairs_wire.summary` returns it; None where judging ended without a verdict.
    """
    if result is None:
        theme.prose("Judging has ended, and nobody had judged any.")
        return
    rate, low, high = (100 * result[name] for name in ("win_rate", "win_low", "win_high"))
    told, tone = _preferred(low, high)
    theme.text(told, "strong", "p")
    figures = f"Preferred after the round: {rate:.0f}%, 95% from {low:.0f}% to {high:.0f}%"
    theme.interval(rate, low, high, least=0, most=100, line=50, label=figures, tone=tone)
    theme.text(
        f"{figures}. The line is a half; verdicts for neither side count half to each.",
        "small",
        "p",
    )
    left = result["left_share"]
    theme.facts(
        [
            ("After preferred", result["wins"]),
            ("Before preferred", result["losses"]),
            ("Alike, neither", f"{result['ties']}, {result['both_bad']}"),
            ("Judged by", counted(result["reviewers"], "reviewer")),
            ("Sign test", f"p = {result['sign_p']:.2g}"),
            (
                "Answer A won",
                None
                if left is None
                else f"{left:.0%} of the time, 95% from {result['left_low']:.0%} to "
                f"{result['left_high']:.0%}: the side was drawn by chance",
            ),
        ]
    )


def named(data: Sequence[Mapping[str, Any]]) -> None:
    """Draw every pair with whose answer is whose, once judging has ended."""
    note = "Open one to see both answers."
    with theme.card(f"All {counted(len(data), 'pair')}", note), ui.element("div"):
        theme.folded(data, _pair, most=SHOWN_PAIRS)


def _preferred(low: float, high: float) -> tuple[str, Tone]:
    if low > 50:
        return "People prefer the answers after the round.", "good"
    if high < 50:
        return "People prefer the answers before the round.", "bad"
    return "It cannot be told whether people prefer the answers before or after.", ""


def _pair(each: Mapping[str, Any]) -> None:
    asked = each["messages"][-1]["content"] if each["messages"] else "(kept no longer)"
    with ui.element("details").classes("heed-lost"):
        with ui.element("summary"):
            theme.text(asked, "strong")
            said = Counter(verdict["prefers"] for verdict in each["verdicts"])
            for name, (label, tone) in _PREFERS.items():
                if said[name]:
                    theme.badge(label if said[name] == 1 else f"{label} × {said[name]}", tone)
            if not said:
                theme.badge("not judged", "soft")
        theme.facts(
            [
                ("From", each["suite"] or each["source"]),
                ("Before", each["incumbent"]),
                ("After", each["candidate"]),
            ]
        )
