"""Draws the verdict on a round: the sentence, each rule on its scale, and what was lost.

What it says comes from `verdict`; prompts and answers are shown as text. Knows no page.
"""

from typing import Any

from nicegui import ui

from feedback.text import counted
from serving import round_measures
from serving.console import theme, verdict
from serving.console.theme import Tone
from serving.console.verdict import Line
from trainer.models import Round

SHOWN_LOST = 10
_WAITS = "hourglass_empty"
_OUTCOMES: dict[str, Tone] = {"promote": "good", "refuse": "bad", "abstain": "warn"}
_ICONS = {"promote": "check_circle", "refuse": "cancel", "abstain": "help_outline"}


def judged(row: Round) -> None:
    """Draw the verdict on a round that has a report."""
    report = row.shown_report or {}  # while reviewers judge blind it quotes no answer
    outcome = str(report.get("outcome"))
    with theme.card():
        with theme.row(f"heed-verdict {_OUTCOMES.get(outcome, '')}"):
            waits = row.state == "pending"
            theme.icon(_WAITS if waits else _ICONS.get(outcome, "help_outline"))
            theme.text(verdict.sentence(row.state, report), tag="h2")
        if row.message and row.message != report.get("summary") and row.state != "pending":
            theme.prose(row.message)
        lines = verdict.lines(report)
        if any(each.estimate is not None for each in lines):
            theme.text(
                "The dot is what was measured, the bar its 95% interval; the shaded part is where the "
                "rule holds, and the thin line no change.",
                "soft small",
                "p",
            )
        with ui.element("div").classes("heed-rules").props('role="list"'):
            for each in lines:
                _rule(each)
    _lost(report.get("caught") or [])
    _measures(report.get("measures") or {})


def _rule(line: Line) -> None:
    with ui.element("div").classes("heed-rule").props('role="listitem"'):
        with ui.element("div").classes("head"):
            theme.text(line.label, "strong")
            theme.badge(line.outcome, line.tone)
            theme.text(line.demand, "soft small")
        if line.estimate is not None:
            theme.interval(
                line.estimate,
                line.low,
                line.high,
                least=line.least,
                most=line.most,
                allowed=line.allowed,
                label=f"{line.label}: {line.figures}",
                tone=line.tone,
            )
            items = f" · {counted(line.items, 'item')}"
            theme.text(line.figures + items, "small figures")
        theme.text(line.told, "soft small told", "p")


def _lost(caught: list[dict[str, Any]]) -> None:
    if not caught:
        return
    note = f"{len(caught)} that the version before answers rightly and this one does not."
    with theme.card("Lost items", note), ui.element("div"):
        theme.folded(caught, _item, most=SHOWN_LOST)


def _item(each: dict[str, Any]) -> None:
    with ui.element("details").classes("heed-lost"):
        with ui.element("summary"):
            theme.text(each["prompt"] or each["item_id"], "strong")
            theme.badge(each["suite"], "soft")
        theme.facts(
            [
                ("Item", each["item_id"]),
                ("Wanted", each["expected"]),
                ("Before", each["incumbent_answer"]),
                ("Now", each["candidate_answer"]),
            ]
        )


def _measures(measures: dict[str, Any]) -> None:
    rows = [
        (
            suite,
            both["items"],
            f"{both['incumbent']['accuracy']:.1%}",
            f"{both['candidate']['accuracy']:.1%}",
        )
        for suite, both in (measures.get("suites") or {}).items()
    ]
    if rows:
        with theme.card("Before and after", "What both reach; it decided nothing by itself."):
            theme.table(("Suite", "Items", "Before", "Now"), rows[:50], label="Before and after")
    for title, note, columns, found in (
        (
            "By likelihood",
            "Of people held out, the candidate has learned nothing.",
            ("Measure", "Items", "Before", "Now"),
            round_measures.of_likelihood(measures),
        ),
        (
            "Slices",
            "Right answers by topic, language and tag, the worst first; elsewhere is all the rest now.",
            ("Slice", "Items", "Before", "Now", "Elsewhere", "Than the rest"),
            round_measures.of_slices(measures),
        ),
        (
            "Labels",
            "Before → now.",
            ("Suite", "Label", "Items", "Precision", "Recall", "F1"),
            round_measures.of_labels(measures),
        ),
    ):
        if found:
            with theme.card(title, note):
                theme.table(columns, found[:50], label=title)
