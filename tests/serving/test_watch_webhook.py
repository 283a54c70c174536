"""Alerts arrive: signed, again and again until they are taken, and known by their id."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from sqlmodel import select

from feedback.errors import Invalid, Unavailable
from feedback.store import Store
from serving import watch_webhook
from serving.models import Alert
from serving.settings import ServingSettings
from tests.serving.watched import answered, live, look, settings_of, spoken
from tests.serving.webhooks import Receiver, listening

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Who is told of alerts."""
    with listening() as made:
        yield made


def serving(url: str | None, **fields: Any) -> ServingSettings:
    return ServingSettings.model_validate({"webhook_url": url, **fields})


def alarmed(store: Store, url: str) -> Alert:
    """An alert that is due."""
    name = live(store, ago=500)
    rows = answered(store, name, 60, ago=450)
    spoken(store, rows[::2], rating="up")
    spoken(store, answered(store, name, 60, ago=400), rating="down")
    found = look(store, settings_of(store, webhook=url))
    return next(each for each in found if each.measure == "satisfaction")


def kept(store: Store, alert: Alert) -> Alert:
    with store.session() as session:
        return session.exec(select(Alert).where(Alert.id == alert.id)).one()


def only(store: Store, alert: Alert) -> None:
    """Nothing else is due."""
    with store.session(write=True) as session:
        for row in session.exec(select(Alert).where(Alert.id != alert.id)):
            row.delivery = "none"
            session.add(row)
        session.commit()


def test_an_alert_arrives_once_and_signed(store: Store, receiver: Receiver) -> None:
    alert = alarmed(store, receiver.url)
    only(store, alert)
    assert alert.delivery == "due"
    settings = serving(receiver.url, webhook_secret=SECRET)
    assert watch_webhook.deliver(store, settings, now=alert.at - 1) == 0
    assert watch_webhook.deliver(store, settings, now=alert.at) == 1
    assert watch_webhook.deliver(store, settings, now=alert.at + 1e6) == 0
    [(headers, content)] = receiver.heard
    assert headers["webhook-id"] == alert.id
    told = f"{alert.id}.{headers['webhook-timestamp']}.".encode() + content
    digest = hmac.new(b"0123456789abcdef01234567", told, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    said = json.loads(content)
    assert (said["type"], said["text"]) == ("alert.opened", alert.message)
    assert (said["data"]["id"], said["data"]["measure"]) == (alert.id, "satisfaction")
    assert kept(store, alert).delivery == "delivered"


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    found = watch_webhook.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_is_not_taken_is_tried_again_later_and_in_the_end_given_up(
    store: Store, receiver: Receiver
) -> None:
    alert = alarmed(store, receiver.url)
    only(store, alert)
    settings = serving(receiver.url)
    receiver.answers = [500, 302]
    now = alert.at
    assert watch_webhook.deliver(store, settings, now=now) == 0
    row = kept(store, alert)
    assert (row.delivery, row.delivery_error) == ("due", "it answered 500")
    assert row.next_attempt_at == pytest.approx(now + watch_webhook.DELAYS_SECONDS[0])
    assert watch_webhook.deliver(store, settings, now=now + 1) == 0
    assert len(receiver.heard) == 1  # it is not due yet
    assert watch_webhook.deliver(store, settings, now=now + 10) == 0  # a redirect is not followed
    assert len(receiver.heard) == 2
    assert watch_webhook.deliver(store, settings, now=now + 100) == 1
    assert {headers["webhook-id"] for headers, _ in receiver.heard} == {alert.id}

    with store.session(write=True) as session:
        again = session.get_one(Alert, alert.id)
        again.delivery, again.next_attempt_at, again.attempts = "due", now, 0
        session.add(again)
        session.commit()
    receiver.answers = [503] * 99
    for attempt in range(len(watch_webhook.DELAYS_SECONDS) + 3):
        watch_webhook.deliver(store, settings, now=now + 1e6 * attempt)
    row = kept(store, alert)
    assert (row.delivery, row.attempts) == ("failed", len(watch_webhook.DELAYS_SECONDS) + 1)


def test_a_process_that_dies_while_posting_loses_nothing(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = alarmed(store, receiver.url)
    only(store, alert)
    settings = serving(receiver.url, webhook_seconds=1)
    now = alert.at
    with monkeypatch.context() as patch:

        def died(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("serving.watch_webhook.httpx.post", died)
        with pytest.raises(KeyboardInterrupt):
            watch_webhook.deliver(store, settings, now=now)
    assert watch_webhook.deliver(store, settings, now=now + 5) == 0  # it may be under way still
    assert watch_webhook.deliver(store, settings, now=now + 60) == 1
    assert [headers["webhook-id"] for headers, _ in receiver.heard] == [alert.id]


def test_an_unreachable_webhook_is_told_without_its_address(
    store: Store, receiver: Receiver
) -> None:
    alert = alarmed(store, receiver.url)
    receiver.server.shutdown()
    receiver.server.server_close()
    assert watch_webhook.deliver(store, serving(receiver.url), now=alert.at) == 0
    error = kept(store, alert).delivery_error
    assert error is not None and "could not be reached" in error
    assert "127.0.0.1" not in error and "s3cret" not in error


def test_a_test_is_posted_and_says_what_is_wrong(receiver: Receiver) -> None:
    name = watch_webhook.test(serving(receiver.url))
    [(headers, content)] = receiver.heard
    assert headers["webhook-id"] == name and "webhook-signature" not in headers
    assert json.loads(content)["type"] == "test"
    receiver.answers = [404]
    with pytest.raises(Unavailable, match="it answered 404"):
        watch_webhook.test(serving(receiver.url))
    with pytest.raises(Invalid, match="webhook_url"):
        watch_webhook.test(serving(None))
    with pytest.raises(Invalid, match="no base64"):
        watch_webhook.test(serving(receiver.url, webhook_secret="whsec_not base 64!"))


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/b", "https://", "hooks", "http://["]
)
def test_a_webhook_is_reached_over_http_alone(url: str) -> None:
    with pytest.raises(ValidationError, match="not an address"):
        serving(url)
