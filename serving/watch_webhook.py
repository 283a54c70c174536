"""Posts alerts to a webhook: signed, again and again until it is taken, and never in anybody's way.

An alert is due from the moment it is written down. Before each attempt the next one is written down, so
that a process that dies midway loses nothing and two that deliver take turns; whoever receives may so
hear of an alert twice, and knows it by its id. Headers and signature are those of Standard Webhooks
(https://www.standardwebhooks.com), for which there are libraries in most languages. Redirects are not
followed. What went wrong is told without the address, which is often a secret.
"""

import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from dataclasses import dataclass
from typing import Any

import httpx
from sqlmodel import Session, col, select

from feedback.errors import Invalid, Unavailable
from feedback.ids import new_id
from feedback.settings import PROJECT
from feedback.store import Store
from serving.models import Alert
from serving.settings import ServingSettings
from serving.watch_alerts import wire

log = logging.getLogger("heed.webhook")

DELAYS_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0, 43_200.0)
"""How long is waited after each attempt that failed; after the last one it is given up."""
AT_ONCE = 10
_MARK = "whsec_"


@dataclass(frozen=True)
class _Due:
    """One alert that is being delivered."""

    id: str
    attempt: int
    content: bytes


def deliver(store: Store, settings: ServingSettings, *, now: float | None = None) -> int:
    """Post what is due; returns how much was taken.

    Args:
        store: the database.
        settings: where to, how signed, how long it may take.
        now: Unix seconds; by default the clock's.

    Raises:
        Unavailable, StorageFull: the database cannot be read or written.
    """
    if settings.webhook_url is None:
        return 0
    now = time.time() if now is None else now
    with store.session() as session:
        if not session.exec(_due(now).limit(1)).first():
            return 0  # nothing is written where nothing is due, which is nearly always
    with store.session(write=True) as session:
        claimed = _claim(session, settings, now)
        session.commit()
    taken = 0
    for due in claimed:
        error = _posted(settings, due.id, due.content, now)
        with store.session(write=True) as session:
            _note(session, due, error, now)
            session.commit()
        taken += error is None
    return taken


def test(settings: ServingSettings) -> str:
    """Post a test and return its id.

    Raises:
        Invalid: no address is set.
        Unavailable: it was not taken; says why.
    """
    if settings.webhook_url is None:
        raise Invalid(
            "No webhook is set; set serving.webhook_url (HEED_SERVING__WEBHOOK_URL).",
            param="serving.webhook_url",
        )
    name = new_id("evt")
    text = "A test of Heed's webhook: alerts arrive here."
    error = _posted(settings, name, _content("test", time.time(), text, None), time.time())
    if error is not None:
        raise Unavailable(f"The webhook did not take the test: {error}. Look at its own log.")
    return name


def signature(secret: str, event: str, timestamp: str, content: bytes) -> str:
    """Return the header that proves who sent this, as Standard Webhooks have it."""
    signed = f"{event}.{timestamp}.".encode() + content
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _due(now: float) -> Any:
    return (
        select(Alert)
        .where(
            Alert.project_id == PROJECT,
            Alert.delivery == "due",
            col(Alert.next_attempt_at) <= now,
        )
        .order_by(col(Alert.next_attempt_at))
    )


def _claim(session: Session, settings: ServingSettings, now: float) -> list[_Due]:
    """Take what is due, and write down when it is due again. The caller commits."""
    claimed = []
    for row in session.exec(_due(now).limit(AT_ONCE).with_for_update(skip_locked=True)):
        row.attempts += 1
        delay = DELAYS_SECONDS[min(row.attempts, len(DELAYS_SECONDS)) - 1]
        # All that were claimed with it may take their time before it.
        row.next_attempt_at = now + delay + AT_ONCE * settings.webhook_seconds
        session.add(row)
        content = _content("alert.opened", row.at, row.message, wire(row))
        claimed.append(_Due(row.id, row.attempts, content))
    return claimed


def _content(kind: str, at: float, text: str, alert: dict[str, Any] | None) -> bytes:
    # `text` alone is what chat programs show.
    return json.dumps({"type": kind, "timestamp": at, "text": text, "data": alert}).encode()


def _posted(settings: ServingSettings, event: str, content: bytes, now: float) -> str | None:
    """Post; returns what went wrong, without the address."""
    assert settings.webhook_url is not None
    timestamp = str(int(now))
    headers = {
        "content-type": "application/json",
        "user-agent": "heed",
        "webhook-id": event,
        "webhook-timestamp": timestamp,
    }
    if settings.webhook_secret is not None:
        secret = settings.webhook_secret.get_secret_value()
        headers["webhook-signature"] = signature(secret, event, timestamp, content)
    try:
        answer = httpx.post(
            settings.webhook_url.get_secret_value(),
            content=content,
            headers=headers,
            timeout=settings.webhook_seconds,
            follow_redirects=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        return f"it could not be reached ({type(fault).__name__})"
    return None if answer.is_success else f"it answered {answer.status_code}"


def _note(session: Session, due: _Due, error: str | None, now: float) -> None:
    """Write down how an attempt ended. The caller commits."""
    row = session.get_one(Alert, due.id, with_for_update=True)
    if row.delivery != "due":
        return  # another process was slow, and this one quick
    row.delivery_error = error
    if error is None:
        row.delivery, row.delivered_at, row.next_attempt_at = "delivered", now, None
    elif due.attempt > len(DELAYS_SECONDS):
        row.delivery, row.next_attempt_at = "failed", None
        log.error("alert %s was not delivered, and is given up: %s", row.id, error)
    else:
        row.next_attempt_at = now + DELAYS_SECONDS[due.attempt - 1]
        log.warning("alert %s was not delivered yet: %s", row.id, error)
    session.add(row)


def _key(secret: str) -> bytes:
    if not secret.startswith(_MARK):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_MARK), validate=True)
    except binascii.Error as error:
        raise Invalid(
            "serving.webhook_secret begins with whsec_ and is no base64 after that; write another.",
            param="serving.webhook_secret",
        ) from error
