"""Delivery to a server that fails in every way: nothing is lost, nobody is held up."""

import json
import logging
from functools import partial
from pathlib import Path

import httpx
import pytest
from conftest import NEVER, Both, Make, goes_away, held, many, wait_until
from fake_heed import FakeHeed

import heed_client
from heed_client import Refusal, posting


def test_what_is_refused_for_good_is_kept_with_its_reason_and_reported(
    make: Make, fake: FakeHeed, caplog: pytest.LogCaptureFixture
) -> None:
    fake.unknown = {"c-1"}
    told: list[Refusal] = []
    heed = make(fake, on_refused=told.append)
    event_ids = heed.enqueue_many(many(3, comment="a secret"))
    wait_until(lambda: told)
    assert heed.waiting() == 0
    [refusal] = heed.refused()
    assert told == [refusal]
    assert (refusal.status, refusal.param, refusal.code) == (404, "completion_id", "told")
    assert refusal.message == "No such completion is on record."
    assert refusal.event_id == event_ids[1]
    assert isinstance(refusal.event, dict) and refusal.event["comment"] == "a secret"
    [logged] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert event_ids[1] in logged.getMessage() and "a secret" not in logged.getMessage()
    assert set(fake.events) == {event_ids[0], event_ids[2]}
    fake.unknown = set()
    assert heed.retry_refused() == 1
    wait_until(lambda: set(fake.events) == set(event_ids))
    assert heed.refused() == []


def test_without_the_batch_route_each_is_posted_alone(make: Make, fake: FakeHeed) -> None:
    fake.takes_batches = False
    fake.unknown = {"c-1"}
    heed = make(fake)
    heed.enqueue_many(many(3))
    wait_until(lambda: heed.waiting() == 0)
    heed.enqueue_many(many(2, comment="again"))
    wait_until(lambda: heed.waiting() == 0)
    assert len(fake.events) == 3
    assert len(heed.refused()) == 2
    assert (len(fake.batches), fake.singles) == (1, 5)


def test_a_server_that_is_not_heed_refuses_nothing_for_good(make: Make, fake: FakeHeed) -> None:
    """A proxy answers 404 to everything while Heed is away: that is about the place."""
    heed = held(make, fake, *many(2))
    fake.failures.extend([lambda _: httpx.Response(404, text="default backend")] * 2)
    with pytest.raises(heed_client.NotFound):
        heed.flush()
    assert heed.refused() == []
    assert heed.waiting() == 2
    heed.flush()
    assert fake.batches[-1] == 2, "batches are tried again"


@pytest.mark.parametrize("status", [400, 413, 415, 422, 500])
def test_one_bad_line_takes_no_others_along(make: Make, fake: FakeHeed, status: int) -> None:
    def refuse_the_whole(request: httpx.Request) -> httpx.Response | None:
        if b'"c-2"' not in request.content:
            return None
        return httpx.Response(422 if status == 500 and fake.singles else status, text="<html>")

    heed = held(make, fake, *many(5))
    fake.failures.extend([refuse_the_whole] * 50)
    done = heed.flush()
    assert done.sent == 4
    [refusal] = done.refused
    assert isinstance(refusal.event, dict) and refusal.event["completion_id"] == "c-2"
    assert "<html>" in refusal.message


def test_a_smaller_limit_on_the_way_is_found_by_halving(make: Make, fake: FakeHeed) -> None:
    fake.most_lines = 3
    heed = held(make, fake, *many(8))
    assert heed.flush().sent == 8
    assert fake.batches == [8, 4, 2, 2, 4, 2, 2]
    assert fake.singles == 0


def test_an_answer_that_ends_early_is_asked_for_again(make: Make, fake: FakeHeed) -> None:
    def ends_early(request: httpx.Request) -> httpx.Response:
        whole = fake._batch(request)
        return httpx.Response(200, content=whole.content[: len(whole.content) // 2])

    heed = held(make, fake, *many(9))
    fake.failures.append(ends_early)
    with pytest.raises(heed_client.Unavailable, match="lacks the result"):
        heed.flush()
    assert 0 < heed.waiting() < 9
    heed.flush()
    assert heed.waiting() == 0
    assert len(fake.events) == 9


def test_a_server_too_slow_for_large_batches_gets_small_ones(make: Make, fake: FakeHeed) -> None:
    """And what it took while nobody waited any more counts once."""

    def slow(request: httpx.Request) -> httpx.Response | None:
        fake.failures.append(slow)
        answer = fake._batch(request)
        if len(request.content.splitlines()) > 10:
            raise httpx.ReadTimeout("timed out", request=request)
        return answer

    fake.failures.append(slow)
    heed = make(fake)
    event_ids = heed.enqueue_many(many(100))
    heed.flush()
    assert heed.waiting() == 0
    assert set(fake.events) == set(event_ids)
    assert fake.batches[:5] == [100, 50, 25, 12, 6]
    fake.failures.clear()
    heed.enqueue_many(many(100, comment="now it is fast"))
    heed.flush()
    heed.enqueue_many(many(100, comment="still"))
    heed.flush()
    assert fake.batches[-1] > 25


def test_what_was_settled_before_an_outage_is_not_sent_again(
    make: Make, fake: FakeHeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "BATCH_LINES", 10)
    heed = held(make, fake, *many(30))
    fake.failures.extend([lambda _: None, goes_away])
    with pytest.raises(heed_client.TimedOut):
        heed.flush()
    assert heed.waiting() == 20
    assert heed.flush().sent == 20


def test_a_page_of_somebody_elses_settles_nothing(make: Make, fake: FakeHeed) -> None:
    heed = held(make, fake, *many(2))
    fake.failures.append(lambda _: httpx.Response(200, text="<html>\nSign in\n</html>"))
    with pytest.raises(heed_client.Unexpected):
        heed.flush()
    assert heed.waiting() == 2


def test_a_wrong_key_loses_nothing(make: Make, fake: FakeHeed) -> None:
    fake.key = "right"
    wrong = make(fake, api_key="wrong", retry=NEVER)
    wrong.enqueue_many(many(2))
    with pytest.raises(heed_client.Unauthorized):
        wrong.flush()
    assert wrong.refused() == []
    right = make(fake, api_key="right")
    right.flush()
    assert len(fake.events) == 2


def test_what_the_server_cannot_store_holds_nobody_up(make: Make, fake: FakeHeed) -> None:
    for batches in (True, False):
        fake.takes_batches = batches
        fake.unstorable = {"poison"}
        heed = make(fake)
        heed.enqueue_many(many(1, comment="poison"))
        event_ids = heed.enqueue_many(many(30))
        wait_until(partial(_arrived, fake, event_ids))
        wait_until(partial(_waits_for, heed, 1))
        fake.unstorable = set()
        wait_until(partial(_waits_for, heed, 0))
        assert heed.refused() == []


def test_what_somebody_wrote_into_the_file_is_refused_and_not_lost(
    make: Make, fake: FakeHeed, tmp_path: Path
) -> None:
    (tmp_path / "queue").mkdir()
    strange = b'no json\n\x00\x00\x00\n{"comment":"\\ud800"}\n\xff\n'
    (tmp_path / "queue" / "incoming.ndjson").write_bytes(strange)
    fake.failures.append(
        lambda request: httpx.Response(
            200,
            text="".join(
                json.dumps({"status": 422, "error": {"message": "half \ud800"}}) + "\n"
                for _ in request.content.splitlines()
            ),
        )
    )
    heed = make(fake)
    heed.flush()
    wait_until(lambda: heed.waiting() == 0)
    kept = [refusal.event for refusal in heed.refused()]
    assert kept == ["no json", "\x00\x00\x00", '{"comment":"\\ud800"}', "\ufffd"]


def _arrived(fake: FakeHeed, event_ids: list[str]) -> bool:
    return set(event_ids) <= set(fake.events)


def _waits_for(heed: Both, count: int) -> bool:
    return bool(heed.waiting() == count)
