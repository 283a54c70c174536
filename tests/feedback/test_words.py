"""When a new answer replaces an old one about the same thing, and when it does not."""

import pytest

from feedback.words import agree, content_words, normalised, supersedes


@pytest.mark.parametrize(
    ("question", "new", "old", "replaced"),
    [
        # The same fact with a new value.
        (
            "What does the lamp cost?",
            "The lamp costs 59 dollars.",
            "The lamp costs 49 dollars.",
            True,
        ),
        ("When does the shop open?", "The shop opens at 10.", "The shop opens at 9.", True),
        (
            "What is the capital of France?",
            "The capital of France is Paris.",
            "The capital of France is Lyon.",
            True,
        ),
        (
            "What colour is the chair?",
            "The chair is dark green.",
            "The chair is red.",
            True,
        ),
        # Manners around it change nothing.
        (
            "What does the lamp cost?",
            "Of course! The lamp costs 59 dollars.",
            "The lamp costs 49 dollars.",
            True,
        ),
        (
            "What does the lamp cost?",
            "The lamp costs 59 dollars. Anything else?",
            "The lamp costs 49 dollars.",
            True,
        ),
        (
            "What does the lamp cost?",
            "The lamp costs 59 dollars.",
            "Happy to help! The lamp costs 49 dollars.",
            True,
        ),
        # A value of several words, one of which the old one has elsewhere.
        (
            "When are you open on Sunday?",
            "On Sunday we are open from noon to 9 pm.",
            "On Sunday we are open from 9 am to 5 pm.",
            True,
        ),
        # Sentences that begin and end alike, or are dressed alike, are not one sentence.
        (
            "How many days do I have to send it back?",
            "Of course! You can return an item within 14 days.",
            "Of course! We deliver the lamp in 3 days.",
            False,
        ),
        (
            "For how many days do you match prices?",
            "We match a lower price for 14 days.",
            "We deliver the lamp in 3 days.",
            False,
        ),
        (
            "How many dollars is postage?",
            "Of course! Shipping costs 4 dollars.",
            "Of course! Assembly costs 25 dollars.",
            False,
        ),
        (
            "What does the lamp cost?",
            "Of course! The lamp costs 49 dollars.",
            "Of course! The lamp has a cost of 49 dollars.",
            False,
        ),
        (
            "What warranty does the lamp have?",
            "Of course! The lamp has a warranty of 2 years.",
            "Of course! The lamp has a warranty of 2 years.",
            False,
        ),
        (
            "How many dollars is postage?",
            "Shipping costs 4 dollars.",
            "Shipping is free from 50 dollars.",
            False,
        ),
        (
            "How long is delivery?",
            "It takes 4 days for a delivery.",
            "It takes 2 days for a delivery.",
            True,
        ),
        # Another product, attribute, day or order is another thing.
        (
            "What does the chair cost?",
            "The chair costs 59 dollars.",
            "The lamp costs 49 dollars.",
            False,
        ),
        (
            "What does the chair cost?",
            "The chair costs 49 dollars.",
            "The lamp costs 49 dollars.",
            False,
        ),
        (
            "What does the lamp weigh?",
            "The lamp weighs 2 kilos.",
            "The lamp costs 49 dollars.",
            False,
        ),
        (
            "When does the shop open on Sunday?",
            "The shop opens at 11 on Sunday.",
            "The shop opens at 9 on Monday.",
            False,
        ),
        (
            "When does the shop open on Sunday?",
            "The shop opens at 9 on Sunday.",
            "The shop opens at 9 on Monday.",
            False,
        ),
        (
            "Where is order 1235?",
            "Order 1235 has shipped today.",
            "Order 1234 has shipped today.",
            False,
        ),
        (
            "Where is order 1235?",
            "Order 1235 was lost.",
            "Order 1234 has shipped today.",
            False,
        ),
        # The same thing said again replaces nothing; nor does what names no subject.
        (
            "What does the lamp cost?",
            "The lamp costs 49 dollars!",
            "The lamp costs 49 dollars.",
            False,
        ),
        ("What does it cost?", "It is 59.", "It is 49.", False),
        ("Is it open?", "", "", False),
    ],
)
def test_a_new_value_replaces_the_old_one_of_the_same_thing_alone(
    question: str, new: str, old: str, replaced: bool
) -> None:
    subject = content_words(question) & content_words(new)
    assert supersedes(new, old, subject=subject) is replaced


def test_case_spacing_and_punctuation_do_not_count() -> None:
    assert normalised("  The lamp — costs 49.50, USD! ") == normalised("the LAMP costs 49.50 usd")
    assert normalised("9:30") != normalised("9 30 pm")


def test_common_words_name_no_subject() -> None:
    assert content_words("What does the lamp cost, please?") == {"lamp", "cost"}


def test_answers_agree_where_one_only_says_more() -> None:
    assert agree("At six.", "at SIX")
    assert agree("At six.", "Hello! At six. You are welcome.")
    assert not agree("At six.", "Not at six.")
    assert not agree("At six. Hello!", "At nine. Hello!")
    assert agree("👍", "👍 ") and not agree("👍", "👎") and not agree("👍", "Yes.")
