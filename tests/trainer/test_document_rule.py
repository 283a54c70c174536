"""What a round that learned from documents must have gained, and that nothing else is let go."""

import math
import random

import pytest

from tests.builders import plan
from trainer import document_rule, gate, intervals
from trainer.evidence import Evidence, Paired, Reading


def readings(
    gain: float, *, clusters: int = 12, each: int = 4, spread: float = 0.1
) -> list[Reading]:
    rng = random.Random(7)
    return [
        Reading(f"book {at}", rng.randint(20, 200), 3.0, 3.0 - gain - shift + rng.gauss(0, 0.02))
        for at in range(clusters)
        for shift in [rng.gauss(0, spread)]
        for _ in range(each)
    ]


def kept(lost: int = 0) -> tuple[Paired, ...]:
    return tuple(
        Paired(f"item {n}", "core", f"item {n}", True, n >= lost, "protected") for n in range(400)
    )


def judged(*found: Reading, lost: int = 0) -> gate.GateReport:
    return gate.judge(Evidence(pairs=kept(lost), readings=found), plan())


def test_likelier_documents_are_a_gain_and_the_round_is_promoted() -> None:
    report = judged(*readings(0.5))
    assert report.outcome == "promote"
    [rule] = [rule for rule in report.rules if rule.name == "perplexity"]
    assert rule.lower is not None and 0.3 < rule.lower < 0.5 < (rule.upper or 0)
    assert (rule.items, rule.clusters, rule.unit) == (48, 12, "nats/token")
    assert rule.sentence in report.summary
    assert not any(each.suite == "new" for each in report.rules)


def test_no_gain_abstains_and_less_likely_documents_refuse() -> None:
    assert judged(*readings(0.0)).outcome == "abstain"
    report = judged(*readings(-0.5))
    assert report.outcome == "refuse"
    assert "became less likely" in report.summary


def test_a_gain_does_not_make_up_for_what_is_protected() -> None:
    assert judged(*readings(0.5), lost=30).outcome == "refuse"


def test_one_document_alone_and_none_at_all_tell_nothing() -> None:
    assert judged(*readings(0.5, clusters=1)).outcome == "abstain"
    report = judged()
    assert report.outcome == "abstain"
    assert "No held-out document could show a gain" in report.summary


def test_a_gain_needs_more_than_few_clusters_that_disagree() -> None:
    """Forty pieces of two books are two, not forty."""
    few = [
        Reading(book, 100, 3.0, now) for book, now in (("a", 2.0), ("b", 3.1)) for _ in range(20)
    ]
    assert judged(*few).outcome == "abstain"


def test_numbers_that_are_not_finite_are_never_a_gain() -> None:
    found = [*readings(0.5)[:-1], Reading("book 11", 10, 3.0, math.inf)]
    assert document_rule.reads_better(found, seed=0).outcome == "refuse"


def test_the_change_weighs_each_item_by_its_size() -> None:
    estimate, lower, upper = intervals.mean_change(
        [10.0, 0.0, 10.0, 0.0], [1, 9, 1, 9], ["a", "a", "b", "b"]
    )
    assert estimate == pytest.approx(1.0)
    assert lower == upper == pytest.approx(1.0)


def test_bounds_hold_the_truth_as_often_as_they_say() -> None:
    """Clusters drawn from a world whose true gain is 0.1: a one-sided bound misses one in twenty."""
    rng = random.Random(3)
    missed = 0
    for trial in range(200):
        groups = [rng.gauss(0.1, 0.3) for _ in range(15)]
        totals = [10 * (group + rng.gauss(0, 0.1)) for group in groups for _ in range(5)]
        names = [at for at in range(15) for _ in range(5)]
        missed += intervals.mean_change(totals, [10] * 75, names, seed=trial)[1] > 0.1
    assert missed <= 20
