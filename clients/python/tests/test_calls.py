"""Calls that somebody waits for: receipts, errors, and when a call tries again."""

import json
from typing import Any

import httpx
import pytest
from conftest import Make
from fake_heed import FakeHeed, error

import heed_client
from heed_client import Feedback, Heed, Retry, calls
from heed_client.steps import Answer, Ask, Pause, Steps


def test_feedback_returns_the_receipt(make: Make, fake: FakeHeed) -> None:
    said = make(fake).thumbs_up("chatcmpl-1", user="dora", comment="nice")
    assert (said.id, said.status, said.completion_id) == ("fbk_0", "waiting", "chatcmpl-1")
    assert make(fake).receipt(said.id) == said
    assert make(fake).withdraw(said.id).status == "withdrawn"
    [(body, _)] = fake.events.values()
    assert body.pop("event_id").startswith("evt_")
    assert body.pop("created_at") > 1_700_000_000
    assert body == {
        "completion_id": "chatcmpl-1",
        "user": "dora",
        "rating": "up",
        "comment": "nice",
    }


@pytest.mark.parametrize(
    ("verb", "args", "body"),
    [
        ("thumbs_down", ("c",), {"rating": "down"}),
        ("rate", ("c", 4), {"rating": 4.0, "scale": 5}),
        ("correct", ("c", "It costs 59."), {"correction": "It costs 59."}),
        ("comment", ("c", "hm"), {"comment": "hm"}),
        ("prefer", ("c", "d"), {"preferred_over": "d"}),
        ("signal", ("c", "dwell", 12.5), {"signal": "dwell", "value": 12.5}),
        ("feedback", ("c", {"survey": {"clear?": "no"}}), {"survey": {"clear?": "no"}}),
    ],
)
def test_every_verb_says_its_word_now_and_later(
    make: Make, fake: FakeHeed, verb: str, args: tuple[Any, ...], body: dict[str, Any]
) -> None:
    heed = make(fake)
    fields = args[-1] if isinstance(args[-1], dict) else {}
    plain = args[:-1] if fields else args
    getattr(heed, verb)(*plain, **fields, user="u", created_at=5, event_id="now")
    assert getattr(heed.later, verb)(*plain, **fields, user="u", choice=1, event_id="later")
    heed.flush()
    about = {"completion_id": "c", "user": "u"}
    assert fake.events["now"][0] == {**about, **body, "created_at": 5.0, "event_id": "now"}
    later = fake.events["later"][0]
    assert later.pop("created_at") > 1_700_000_000
    assert later == {**about, **body, "choice": 1, "event_id": "later"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, heed_client.Invalid),
        (401, heed_client.Unauthorized),
        (403, heed_client.Forbidden),
        (404, heed_client.NotFound),
        (409, heed_client.Conflict),
        (413, heed_client.TooLarge),
        (422, heed_client.Invalid),
        (429, heed_client.Busy),
        (500, heed_client.Unavailable),
        (507, heed_client.Unavailable),
        (301, heed_client.Unexpected),
    ],
)
def test_an_error_says_what_the_server_said(
    make: Make, fake: FakeHeed, status: int, kind: type[heed_client.HeedError]
) -> None:
    said = error("It is so.", "rating")
    fake.failures.extend([lambda _: httpx.Response(status, json=said)] * 3)
    with pytest.raises(heed_client.HeedError) as caught:
        make(fake).thumbs_up("c")
    fault = caught.value
    assert type(fault) is kind
    assert (fault.message, fault.param, fault.code) == ("It is so.", "rating", "told")
    assert fault.status == status
    assert str(fault) == "It is so."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>Welcome</html>"),
        (201, b'{"no": "receipt"}'),
        (200, b"\xff"),
        (200, b"[" * 100_000),
    ],
)
def test_an_answer_that_is_not_heeds_is_told_from_success(
    make: Make, fake: FakeHeed, status: int, body: bytes
) -> None:
    fake.failures.append(lambda _: httpx.Response(status, content=body))
    with pytest.raises(heed_client.Unexpected, match="base_url"):
        make(fake).thumbs_up("c")


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b'{"error": "x"}', b"[" * 100_000])
def test_an_error_in_no_shape_is_quoted(make: Make, fake: FakeHeed, body: bytes) -> None:
    fake.failures.append(lambda _: httpx.Response(418, content=body))
    with pytest.raises(heed_client.Invalid, match="HTTP 418"):
        make(fake).thumbs_up("c")


def test_a_call_is_one_event_however_often_it_is_tried(make: Make, fake: FakeHeed) -> None:
    def cut_off(request: httpx.Request) -> httpx.Response:
        fake._take(json.loads(request.content))
        raise httpx.ReadError("connection reset", request=request)

    fake.failures.extend([cut_off, cut_off])
    assert make(fake).thumbs_up("c").id == "fbk_0"
    assert len(fake.requests) == 3
    assert len(fake.events) == 1


def test_a_call_gives_up_after_its_tries_and_says_why(make: Make, fake: FakeHeed) -> None:
    fake.up = False
    with pytest.raises(heed_client.Unreachable, match="connection refused"):
        make(fake).thumbs_up("c")
    fake.up = True
    fake.fail(503, 503, 503)
    with pytest.raises(heed_client.Unavailable, match="Not now"):
        make(fake).receipt("fbk_0")
    assert len(fake.requests) == 3


def test_what_is_wrong_for_good_is_not_tried_again(make: Make, fake: FakeHeed) -> None:
    fake.fail(422)
    with pytest.raises(heed_client.Invalid):
        make(fake).thumbs_up("c")
    assert len(fake.requests) == 1


def pauses(steps: Steps[Any], answers: list[Answer]) -> list[float]:
    """Take the steps of a call with these answers; returns how long it waited."""
    waited: list[float] = []
    rest = iter(answers)
    step = next(steps)
    try:
        while True:
            if isinstance(step, Pause):
                waited.append(step.seconds)
                step = steps.send(True)
            else:
                assert isinstance(step, Ask)
                step = steps.send(next(rest))
    except (StopIteration, heed_client.HeedError):
        assert next(rest, None) is None, "not every answer was asked for"
        return waited


def not_now(seconds: str | None) -> Answer:
    return Answer(503, {"retry-after": seconds} if seconds else {}, b"{}")


def test_retry_after_is_waited_for_and_never_undercut() -> None:
    done = Answer(201, {}, b'{"id": "fbk_1", "status": "waiting"}')
    retry = Retry(times=3, first_seconds=0.5, most_seconds=8)
    for _ in range(50):
        steps = calls.send(Feedback(completion_id="c", rating="up"), retry)
        first, second, third = pauses(steps, [not_now("3"), not_now(None), not_now("0"), done])
        assert 3 <= first <= 3.5
        assert 0 <= second <= 1
        assert 0 <= third <= 2


def test_nobody_waits_for_a_server_that_wants_an_hour() -> None:
    steps = calls.send(Feedback(completion_id="c", rating="up"), Retry())
    assert pauses(steps, [not_now("3600")]) == []


def test_ids_are_quoted_and_never_empty(make: Make, fake: FakeHeed) -> None:
    heed = make(fake)
    with pytest.raises(heed_client.NotFound):
        heed.receipt("a/../b c?d")
    assert fake.requests[0].url.raw_path == b"/v1/feedback/a%2F..%2Fb%20c%3Fd"
    for name in ("", ".", ".."):
        with pytest.raises(heed_client.Invalid):
            heed.withdraw(name)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("http://h:1/v1", "http://h:1/v1"),
        ("http://h:1/v1/", "http://h:1/v1"),
        ("https://h/heed", "https://h/heed/v1"),
        ("http://[::1]:8642", "http://[::1]:8642/v1"),
    ],
)
def test_the_address_is_the_one_that_the_stock_client_takes(said: str, url: str) -> None:
    with Heed(said) as heed:
        assert heed.base_url == url


@pytest.mark.parametrize("said", ["heed.test", "ftp://h", "http://", "http://h:port"])
def test_what_is_no_address_is_refused(said: str) -> None:
    with pytest.raises(heed_client.Invalid) as caught:
        Heed(said)
    assert caught.value.param == "base_url"


def test_address_and_key_come_from_the_environment(
    make: Make, fake: FakeHeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEED_BASE_URL", "http://elsewhere.test/v1")
    monkeypatch.setenv("HEED_API_KEY", "heed_secret")
    heed = make(fake, base_url=None)
    heed.thumbs_up("c")
    [request] = fake.requests
    assert str(request.url) == "http://elsewhere.test/v1/feedback"
    assert request.headers["authorization"] == "Bearer heed_secret"
    assert request.headers["user-agent"].startswith("heed-client/")


def test_without_a_key_none_is_sent(make: Make, fake: FakeHeed) -> None:
    make(fake).thumbs_up("c")
    assert "authorization" not in fake.requests[0].headers


@pytest.mark.parametrize("key", ["ä", "a\nb", "a\x00"])
def test_a_key_that_no_header_carries_is_refused(key: str) -> None:
    with pytest.raises(heed_client.Invalid) as caught:
        Heed(api_key=key)
    assert caught.value.param == "api_key"
    assert key not in caught.value.message
