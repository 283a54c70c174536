"""The measures of a round's report as rows for people: before and after, in words and figures. Pure.

For the command line and the console alike. A report of an older version may lack some: what is not
there has no row.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

MOST_SLICES = 20
"""Those where the candidate differs most, the worst first; the report has all."""
_HELD_OUT = {
    "nll": "Held-out corrections: negative log-likelihood, nats per token",
    "perplexity": "Held-out corrections: perplexity per token",
    "bits_per_byte": "Held-out corrections: bits per byte",
    "preference_accuracy": "Held-out corrections: likelier than the answer they correct",
    "reward_margin": "Held-out corrections: reward margin over that answer, nats",
}
_LABELLED = ("precision", "recall", "f1")
ALL_LABELS = "(mean of all)"


class Row(NamedTuple):
    """One measure: what both models reach; empty where there is nothing to compare with."""

    name: str
    items: str
    before: str
    after: str


class SliceRow(NamedTuple):
    """One slice: how both models do in it, the candidate elsewhere, and whether that tells."""

    name: str
    items: int
    before: str
    after: str
    elsewhere: str
    told: str


class LabelRow(NamedTuple):
    """One label of a suite, each measure before → after."""

    suite: str
    label: str
    items: int
    precision: str
    recall: str
    f1: str


def of_likelihood(measures: Mapping[str, Any]) -> list[Row]:
    """Return what likelihoods tell: of held-out corrections, of held-out thumbs, of drift."""
    rows: list[Row] = []
    held_out = measures.get("held_out")
    if held_out:
        before, after = held_out["incumbent"], held_out["candidate"]
        rows = [
            Row(title, f"{after['items']:.0f}", _figure(before.get(name)), _figure(after[name]))
            for name, title in _HELD_OUT.items()
            if name in after
        ]
    verdicts = measures.get("verdicts")
    if verdicts:
        answers = f"{verdicts['liked']} liked, {verdicts['disliked']} not"
        margin = _figure(verdicts["margin"]) or "needs answers of both kinds"
        rows.append(Row("Held-out thumbs: verdict (KTO) margin, nats", answers, "", margin))
    if measures.get("kl_nats") is not None:
        name = "Drift where nobody asked for a change: KL, nats per token"
        rows.append(Row(name, "", "", _figure(measures["kl_nats"])))
    return rows


def of_slices(measures: Mapping[str, Any]) -> list[SliceRow]:
    """Return the slices that differ most, the worst first."""
    return [
        SliceRow(
            each["name"],
            each["items"],
            f"{each['before']:.0%}" if "before" in each else "",
            f"{each['value']:.0%}",
            f"{each['elsewhere']:.0%}",
            f"worse by {-each['upper']:.0%} to {-each['lower']:.0%}" if each["worse"] else "",
        )
        for each in measures.get("slices", ())[:MOST_SLICES]
    ]


def of_labels(measures: Mapping[str, Any]) -> list[LabelRow]:
    """Return, suite by suite, how well labels were given: all together, then each of them."""
    rows = []
    for suite, both in measures.get("suites", {}).items():
        before, after = (both[model].get("labels") for model in ("incumbent", "candidate"))
        if not before or not after:
            continue
        rows.append(LabelRow(suite, ALL_LABELS, both["items"], *_changes(before, after)))
        for label in sorted({*before["per_label"], *after["per_label"]}):
            was, now = (each["per_label"].get(label, {}) for each in (before, after))
            items = int(now.get("items", was.get("items", 0)))
            rows.append(LabelRow(suite, label, items, *_changes(was, now)))
    return rows


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """A label that one model never gave, and that was never due, is not in its table."""
    return [
        f"{_figure(before.get(name)) or '–'} → {_figure(after.get(name)) or '–'}"
        for name in _LABELLED
    ]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
