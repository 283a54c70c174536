"""What is said is checked before it is sent, as the server would, and is sent as it was meant."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import UNHURRIED, Make
from fake_heed import FakeHeed
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import HeedError as ServersError
from feedback.settings import FeedbackSettings
from feedback.submission import Submission, parse
from heed_client import Feedback, Invalid
from heed_client.models import compose

CASES: list[tuple[dict[str, Any], str | None]] = [
    ({"completion_id": 5, "rating": "up"}, "completion_id"),
    ({"completion_id": "", "rating": "up"}, "completion_id"),
    ({"completion_id": "a\x00", "rating": "up"}, "completion_id"),
    ({"completion_id": "x" * 201, "rating": "up"}, "completion_id"),
    ({"rating": "up"}, "completion_id"),
    ({"conversation_id": "c", "rating": "up"}, "completion_id"),
    ({"completion_id": "c", "rating": "sideways"}, "rating"),
    ({"completion_id": "c", "rating": 4}, "scale"),
    ({"completion_id": "c", "rating": 6, "scale": 5}, "rating"),
    ({"completion_id": "c", "rating": math.nan, "scale": 5}, "rating"),
    ({"completion_id": "c", "rating": True, "scale": 5}, "rating"),
    ({"completion_id": "c", "rating": "up", "created_at": True}, "created_at"),
    ({"completion_id": "c", "rating": "up", "choice": False}, "choice"),
    ({"completion_id": "c", "signal": "dwell", "value": True}, "value"),
    ({"completion_id": "c", "survey": {"clear?": True}}, "survey"),
    ({"completion_id": "c", "survey": {}}, "survey"),
    ({"completion_id": "c", "comment": " "}, "comment"),
    ({"completion_id": "c", "reasons": ["short", " "]}, "reasons"),
    ({"completion_id": "c", "rating": "up", "scale": 1}, "scale"),
    ({"completion_id": "c", "rating": "up", "choice": -1}, "choice"),
    ({"completion_id": "c", "rating": "up", "choice": 128}, "choice"),
    ({"completion_id": "c", "rating": "up", "mood": "good"}, "mood"),
    ({"completion_id": "c", "rating": "up", "created_at": "2026-01-31T10:00:00"}, "created_at"),
    ({"completion_id": "c", "rating": "up", "created_at": "yesterday"}, "created_at"),
    ({"completion_id": "c", "rating": "up", "created_at": -1}, "created_at"),
    ({"completion_id": "c", "rating": "up", "user": "a\x00"}, "user"),
    ({"completion_id": "c", "rating": "up", "user": "\ud800"}, "user"),
    ({"completion_id": "c", "rating": "up", "event_id": "x" * 201}, "event_id"),
    ({"completion_id": "c", "rating": "up", "event_id": "\udfff"}, "event_id"),
    ({"completion_id": "c", "correction": "  "}, "correction"),
    ({"completion_id": "c", "correction": ""}, "correction"),
    ({"completion_id": "c", "correction": "a\x00b"}, "correction"),
    ({"completion_id": "c", "comment": "half \ud83d"}, "comment"),
    ({"completion_id": "c", "reasons": []}, "reasons"),
    ({"completion_id": "c", "reasons": ["a\x00"]}, "reasons"),
    ({"completion_id": "c", "reasons": ["a"] * 21}, "reasons"),
    ({"completion_id": "c", "survey": {"q\x00": "a"}}, "survey"),
    ({"completion_id": "c", "survey": {"q": math.inf}}, "survey"),
    ({"completion_id": "c", "signal": "No Such Thing"}, "signal"),
    ({"completion_id": "c", "signal": "dwell", "value": "long"}, "value"),
    ({"completion_id": "c", "signal": "dwell", "value": math.inf}, "value"),
    ({"completion_id": "c"}, None),
]


@pytest.mark.parametrize(("said", "param"), CASES, ids=repr)
def test_what_makes_no_sense_is_refused_before_it_is_sent(
    said: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(Invalid) as caught:
        compose(said)
    assert caught.value.param == param
    assert caught.value.code == "invalid"
    assert caught.value.status is None
    with pytest.raises(ServersError) as server:
        parse(said).check_texts(FeedbackSettings())
    assert server.value.param == param


def test_nothing_senseless_is_sent_or_queued(make: Make, fake: FakeHeed) -> None:
    heed = make(fake)
    for say in (heed.feedback, heed.enqueue, heed.later.feedback):
        with pytest.raises(Invalid):
            say("c", rating="sideways")
    assert heed.waiting() == 0
    assert fake.requests == []


def test_a_preference_for_itself_is_refused_early() -> None:
    with pytest.raises(Invalid) as caught:
        compose({"completion_id": "c", "preferred_over": "c"})
    assert caught.value.param == "preferred_over"


def test_the_fields_are_those_of_the_server() -> None:
    assert set(Feedback.model_fields) == set(Submission.model_fields)


texts = st.text(st.characters(codec="utf-8"), max_size=8)
said = st.fixed_dictionaries(
    {},
    optional={
        "completion_id": texts,
        "conversation_id": texts,
        "choice": st.integers(-1, 130),
        "user": texts,
        "created_at": st.floats(0, 1e12),
        "rating": st.one_of(st.sampled_from(["up", "down", "left"]), st.floats()),
        "scale": st.integers(0, 101),
        "survey": st.dictionaries(texts, st.one_of(texts, st.floats()), max_size=3),
        "correction": texts,
        "comment": texts,
        "reasons": st.lists(texts, max_size=3),
        "signal": st.one_of(texts, st.sampled_from(["copy", "dwell"])),
        "value": st.floats(),
    },
)


@UNHURRIED
@given(said)
def test_the_server_agrees_with_every_check_and_reads_what_was_meant(said: dict[str, Any]) -> None:
    said = {"event_id": "evt", "created_at": 1.5, **said}
    try:
        meant = parse(said)
        meant.check_texts(FeedbackSettings())
    except ServersError as fault:
        with pytest.raises(Invalid) as caught:
            compose(said)
        assert (caught.value.param is None) == (fault.param is None)
        return
    assert parse(json.loads(compose(said).line())) == meant


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    text = 'one\ntwo\r\u2028three \x85 "ünï" \U0001f600 \x1f'
    line = compose({"completion_id": "c", "comment": text}).line()
    assert b"\n" not in line and b"\r" not in line
    assert json.loads(line)["comment"] == text


def test_events_get_their_id_and_time_when_they_are_made() -> None:
    first, second = (Feedback(completion_id="c", rating="up") for _ in range(2))
    assert first.event_id != second.event_id
    assert first.created_at <= second.created_at
    assert json.loads(first.line())["event_id"] == first.event_id


def test_a_time_may_be_a_datetime_with_its_offset() -> None:
    moment = datetime(2026, 1, 31, 9, tzinfo=UTC)
    assert compose({"completion_id": "c", "rating": "up", "created_at": moment}).created_at == (
        moment.timestamp()
    )
    with pytest.raises(Invalid):
        compose({"completion_id": "c", "rating": "up", "created_at": moment.replace(tzinfo=None)})


def test_none_is_the_same_as_not_said() -> None:
    said = compose({"completion_id": "c", "rating": "up", "event_id": None, "created_at": None})
    assert said.event_id.startswith("evt_")
