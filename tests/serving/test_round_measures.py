"""A report's measures as people read them."""

from dataclasses import asdict
from typing import Any

from serving import round_measures
from serving.round_measures import LabelRow, Row, SliceRow
from trainer import metrics


def labels(expected: list[str], given: list[str]) -> dict[str, Any]:
    return {"accuracy": 0.5, "labels": asdict(metrics.labelled(expected, given))}


def test_what_a_report_of_an_older_version_lacks_has_no_row() -> None:
    old = {"suites": {"a": {"items": 1, "incumbent": {}, "candidate": {}}}, "held_out": {}}
    assert round_measures.of_likelihood(old) == []
    assert round_measures.of_labels(old) == []
    assert round_measures.of_slices({}) == []
    piece = {"name": "tag a=b", "items": 20, "value": 0.5, "elsewhere": 0.75, "worse": False}
    found = round_measures.of_slices({"slices": [piece]})
    assert found == [SliceRow("tag a=b", 20, "", "50%", "75%", "")]


def test_a_margin_needs_answers_of_both_kinds_and_drift_has_no_before() -> None:
    told = {"verdicts": {"margin": None, "liked": 3, "disliked": 0}, "kl_nats": 0.01234}
    margin, drift = round_measures.of_likelihood(told)
    assert (margin.items, margin.after) == ("3 liked, 0 not", "needs answers of both kinds")
    assert drift == Row(drift.name, "", "", "0.0123") and drift.name.startswith("Drift")


def test_slices_that_fare_worse_say_by_how_much() -> None:
    worse = {"name": "topic rug", "items": 40, "before": 0.9, "value": 0.5, "elsewhere": 0.8}
    told = {"slices": [{**worse, "lower": -0.45, "upper": -0.15, "worse": True}] * 30}
    found = round_measures.of_slices(told)
    assert len(found) == round_measures.MOST_SLICES
    assert found[0] == SliceRow("topic rug", 40, "90%", "50%", "80%", "worse by 15% to 45%")


def test_a_label_that_only_one_model_gives_has_one_side() -> None:
    due = ["refund", "refund", "price", "price"]
    both = {
        "items": 4,
        "incumbent": labels(due, ["refund", "(another answer)", "price", "refund"]),
        "candidate": labels(due, ["refund", "refund", "price", "price"]),
    }
    every, other, price, refund = round_measures.of_labels({"suites": {"intents": both}})
    assert (every.label, every.items, every.recall) == (round_measures.ALL_LABELS, 4, "0.333 → 1")
    assert other == LabelRow("intents", "(another answer)", 0, "0 → –", "0 → –", "0 → –")
    assert (price.items, price.recall, price.f1) == (2, "0.5 → 1", "0.667 → 1")
    assert refund.precision == "0.5 → 1"
