"""What may be said, and what is refused with the field named."""

from typing import Any

import pytest

from feedback.errors import Invalid, TooLarge
from feedback.people import PeopleKey
from feedback.settings import FeedbackSettings
from feedback.submission import Submission, parse
from tests import builders

ABOUT: dict[str, Any] = {"completion_id": "chatcmpl_1"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"rating": "up"}, "completion_id"),
        ({**ABOUT}, None),
        ({**ABOUT, "rating": "up", "stars": 5}, "stars"),
        ({**ABOUT, "rating": "sideways"}, "rating"),
        ({**ABOUT, "rating": 3}, "scale"),
        ({**ABOUT, "rating": 6, "scale": 5}, "rating"),
        ({**ABOUT, "rating": 0, "scale": 5}, "rating"),
        ({**ABOUT, "rating": float("nan"), "scale": 5}, "rating"),
        ({**ABOUT, "correction": "  "}, "correction"),
        ({**ABOUT, "correction": ""}, "correction"),
        ({**ABOUT, "rating": "up", "choice": -1}, "choice"),
        ({**ABOUT, "rating": "up", "created_at": "2026-01-31T09:00:00"}, "created_at"),
        ({**ABOUT, "rating": "up", "created_at": "yesterday"}, "created_at"),
        ({**ABOUT, "rating": "up", "created_at": float("nan")}, "created_at"),
        ({**ABOUT, "signal": "Copy!"}, "signal"),
        ({**ABOUT, "signal": "copy\n"}, "signal"),
        ({**ABOUT, "signal": "dwell", "value": float("inf")}, "value"),
        ({**ABOUT, "signal": "dwell", "value": -1.0}, "value"),
        ({"conversation_id": "c", "signal": "session_end", "value": -0.5}, "value"),
        ({**ABOUT, "rating": "up", "value": 3.0}, "value"),
        ({**ABOUT, "survey": {"ease": float("nan")}}, "survey"),
        ({**ABOUT, "survey": {"ease": float("inf")}}, "survey"),
        ({"conversation_id": "c1", "rating": "up"}, "completion_id"),
        ({"conversation_id": "c1", "correction": "No."}, "completion_id"),
        ({**ABOUT, "rating": "up", "event_id": "e" * 201}, "event_id"),
        ("a string", None),
    ],
)
def test_refuses_what_cannot_be_honoured_and_names_the_field(fields: Any, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("fields", "satisfaction"),
    [
        ({"rating": "up"}, 1.0),
        ({"rating": "down"}, 0.0),
        ({"rating": 1, "scale": 5}, 0.0),
        ({"rating": 3, "scale": 5}, 0.5),
        ({"rating": 10, "scale": 10}, 1.0),
        ({"comment": "Hm."}, None),
    ],
)
def test_a_rating_becomes_satisfaction_between_zero_and_one(
    fields: dict[str, Any], satisfaction: float | None
) -> None:
    assert parse({**ABOUT, **fields}).satisfaction == satisfaction


def test_an_iso_time_and_unix_seconds_are_the_same() -> None:
    iso = parse({**ABOUT, "rating": "up", "created_at": "2026-01-31T09:00:00+01:00"})
    assert iso.created_at == parse({**ABOUT, "rating": "up", "created_at": 1769846400}).created_at


@pytest.mark.parametrize(
    "field", ["correction", "comment", "user", "event_id", "reasons", "survey", "preferred_over"]
)
@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "\udfff"])
def test_refuses_text_that_no_store_can_hold(tmp_path: Any, field: str, text: str) -> None:
    value: Any = {"reasons": ["fine", text], "survey": {"why": text}}.get(field, text)
    # Built past validation: JSON can carry half a surrogate pair, and so can this.
    sent = Submission.model_construct(None, **{**ABOUT, "rating": "up", field: value})
    with pytest.raises(Invalid) as refused:
        sent.check_texts(FeedbackSettings(data_dir=tmp_path))
    assert refused.value.param == field


def test_a_limit_counts_bytes_not_characters() -> None:
    settings = FeedbackSettings(max_text_bytes=10)
    builders.submission(completion_id="c", correction="é" * 5).check_texts(settings)
    with pytest.raises(TooLarge) as refused:
        builders.submission(completion_id="c", correction="é" * 6).check_texts(settings)
    assert refused.value.param == "correction"
    assert refused.value.code == "too_large"


def test_a_user_name_that_is_no_unicode_can_be_hashed_so_that_it_is_refused_later() -> None:
    assert PeopleKey(b"k" * 32).person_id("\ud800").startswith("per_")


def test_the_fingerprint_tells_another_statement_from_the_same_one() -> None:
    first = builders.submission(rating="up", event_id="e1")
    again = builders.submission(rating="up", event_id="e2", user="Ana")
    other = builders.submission(rating="down", event_id="e1")
    assert first.fingerprint("per_1") == again.fingerprint("per_1")
    assert first.fingerprint("per_1") != other.fingerprint("per_1")
    assert first.fingerprint("per_1") != first.fingerprint("per_2")
