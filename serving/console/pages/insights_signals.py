"""A part of the Insights page: how well implicit signals tell satisfaction. Knows no SQL."""

from collections.abc import Mapping
from typing import Any

from feedback import reports
from serving.console import theme
from serving.console.desk import Desk
from serving.console.pages import insights_drawing as drawing
from serving.console.pages.insights_votes import drawn
from serving.console.theme import Tone


async def build(desk: Desk, _days: int) -> None:
    """Draw the calibration: the reliability diagram, its scores, each signal's worth."""
    told = await desk.read(reports.signals, desk.parts.settings.feedback)
    if not told["pairs"] and not told["delivered"]:
        theme.empty(
            "sensors",
            "No signals yet",
            "Signals are what people do without saying anything: copying an answer, asking again, "
            "how long they read. The widget and the Chat page send them; `POST "
            "/v1/feedback/signals` takes them from your own page.",
        )
        return
    with theme.card("Do signals teach?"):
        theme.badge(*_state(told))
        theme.prose(_meaning(told))
    with theme.grid():
        theme.stat("Learned from", f"{told['pairs']:,}", "answers with both a vote and signals")
        theme.stat("People", f"{told['people']:,}", "behind them")
        theme.stat("Satisfied", f"{told['satisfied']:,}", "of these answers were liked")
        if told["auc"] is not None:
            _scores(told)
    if told["reliability"]:
        _diagram(told)
    _signals(told)


def _state(told: Mapping[str, Any]) -> tuple[str, Tone]:
    if not told["enabled"]:
        return "switched off", "soft"
    return ("they teach", "good") if told["usable"] else ("not enough yet", "warn")


def _meaning(told: Mapping[str, Any]) -> str:
    if not told["enabled"]:
        return "The setting `feedback.signal_labels` is off: signals are kept and teach nothing."
    if not told["usable"]:
        return str(told["reason"])
    return (
        "Answers on which nobody voted count as weakly liked or disliked by their signals, each "
        f"for {told['weight_cap']:g} of a vote at most."
    )


def _scores(told: Mapping[str, Any]) -> None:
    theme.stat("AUC", f"{told['auc']:.2f}", f"0.50 is chance; 95% sure above {told['auc_low']:.2f}")
    better: Tone = "good" if told["brier"] < told["brier_base"] else "bad"
    note = f"lower is better; {told['brier_base']:.3f} without signals"
    theme.stat("Brier score", f"{told['brier']:.3f}", note, better)
    error = told["calibration_error"]
    if error is not None:
        least = (
            f"how far probabilities are off; their mean is known to {told['base_rate_error']:.1%}"
        )
        theme.stat("Calibration error", f"{error:.1%}", least)


def _diagram(told: Mapping[str, Any]) -> None:
    bins = told["reliability"]
    with theme.card(
        "Predicted and true",
        "Each dot is some answers: what their signals predicted, and how many were really "
        "satisfied. On the dashed line the probabilities are right; bars are 95% intervals.",
    ):
        label = "Reliability: " + "; ".join(
            f"{each['predicted']:.0%} predicted, {each['observed']:.0%} true" for each in bins
        )
        theme.text("Truly satisfied", "soft small")
        drawn(drawing.reliability(bins, label=label))
        theme.text("Predicted by signals", "soft small insights-axis")


def _signals(told: Mapping[str, Any]) -> None:
    delivered = told["delivered"]
    with theme.card("Signal by signal"):
        if told["signals"]:
            theme.table(
                ("Signal", "Answers", "Satisfied with it", "… without it", "AUC lost without it"),
                [
                    [
                        each["name"].removeprefix("log:"),
                        each["seen"],
                        _share(each["satisfied_with"]),
                        _share(each["satisfied_without"]),
                        f"{each['auc_lost']:+.3f}",
                    ]
                    for each in told["signals"]
                ],
                label="Signals",
            )
        elif delivered:
            theme.table(("Signal", "Delivered"), list(delivered.items()), label="Signals")
        else:
            theme.prose("None has been delivered; what is counted above was read from the log.")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
