"""The measures against values worked out by hand or by another library."""

import math
from collections.abc import Callable

import pytest

from trainer import metrics
from trainer.metrics import Likelihood


def test_labels_are_measured_as_by_hand() -> None:
    due = ["refund", "refund", "price", "price", "price", "hours"]
    given = ["refund", "price", "price", "price", "hours", "hours"]
    found = metrics.labelled(due, given)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.per_label["refund"] == pytest.approx(
        {"precision": 1, "recall": 1 / 2, "f1": 2 / 3, "items": 2}
    )
    assert found.per_label["hours"] == pytest.approx(
        {"precision": 1 / 2, "recall": 1, "f1": 2 / 3, "items": 1}
    )
    assert found.precision == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert found.recall == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert found.f1 == pytest.approx(2 / 3)


def test_a_label_that_nobody_was_due_costs_precision() -> None:
    found = metrics.labelled(["a", "a"], ["a", "b"])
    assert found.per_label["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "items": 0.0}
    assert found.precision == 0.5


def test_token_f1_counts_words_as_often_as_they_stand_there() -> None:
    # Two of three words given were due, two of four due were given.
    assert metrics.overlap("the lamp costs 49", "The lamp! the") == (2 / 3, 2 / 4)
    assert metrics.token_f1("the lamp costs 49", "The lamp! the") == pytest.approx(4 / 7)
    assert metrics.token_f1("49 dollars", "49 dollars.") == 1
    assert metrics.token_f1("49 dollars", "") == 0
    assert metrics.token_f1("", "!") == 1


def test_texts_are_averaged_over_items_and_not_over_words() -> None:
    found = metrics.text(["a b c d", "x"], ["a b c d", "y"], [True, False])
    assert (found.exact, found.f1, found.precision, found.recall) == (0.5, 0.5, 0.5, 0.5)
    assert (found.length, found.expected_length, found.items) == (2.5, 2.5, 2)


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    found = [Likelihood(-8 * math.log(2), 8), Likelihood(-2 * math.log(16), 2)]
    assert metrics.nll(found) == pytest.approx((8 * math.log(2) + 8 * math.log(2)) / 10)
    assert metrics.perplexity(found) == pytest.approx(2**1.6)
    assert metrics.perplexity([Likelihood(-1e6, 1)]) == math.inf


def test_bits_per_byte_do_not_depend_on_how_a_text_is_cut() -> None:
    whole = metrics.bits_per_byte([Likelihood(-10.0, 1)], ["Grüße"])
    cut = metrics.bits_per_byte([Likelihood(-10.0, 5)], ["Grüße"])
    assert whole == cut == pytest.approx(10 / math.log(2) / 7)


def test_a_tie_between_two_answers_counts_half() -> None:
    assert metrics.preference_accuracy([1, 0, 2, 2], [0, 1, 2, 1]) == 2.5 / 4


def test_the_margin_between_verdicts_needs_both_kinds() -> None:
    assert metrics.verdict_margin([3.0, 1.0, -1.0], [True, True, False]) == 3.0
    assert metrics.verdict_margin([3.0], [True]) is None


@pytest.mark.parametrize(
    "measure",
    [
        lambda: metrics.labelled([], []),
        lambda: metrics.text(["a"], ["a", "b"], [True]),
        lambda: metrics.perplexity([]),
        lambda: metrics.bits_per_byte([Likelihood(-1.0, 1)], [""]),
        lambda: metrics.preference_accuracy([1.0], []),
        lambda: metrics.verdict_margin([1.0], []),
    ],
)
def test_nothing_to_measure_is_an_error_and_no_number(measure: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        measure()
