"""A live version begins to be corrected: an alert, a signed webhook, and the version before is back.

Real HTTP throughout, on both databases; watching and posting are the scheduler's own jobs.
"""

import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from feedback.settings import FeedbackSettings
from serving.scheduler import Scheduler
from serving.settings import Settings
from serving.watch_webhook import signature
from tests.serving.conftest import Server, running, wait_until
from tests.serving.webhooks import Receiver, listening

SECRET = "a secret of the shop's"
PEOPLE = 40


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Who is told of alerts."""
    with listening() as made:
        yield made


@pytest.fixture
def served(settings: FeedbackSettings, receiver: Receiver) -> Iterator[Server]:
    """A server, and the scheduler of another process that works on the same database."""
    watching = {
        "watch_seconds": 0.5,
        "webhook_url": SecretStr(receiver.url),
        "webhook_secret": SecretStr(SECRET),
    }
    with running(settings) as made:
        whole = Settings.model_validate(
            {
                "feedback": settings,
                "serving": {"engine": "echo", "tick_seconds": 60, **watching},
                "trainer": {
                    "base_model": "bare",
                    "watch_rollback": True,
                    "watch_settle_seconds": 2,
                },
            }
        )
        scheduler = Scheduler(made.store, whole)
        scheduler.start()
        try:
            yield made
        finally:
            scheduler.stop()


def test_a_version_that_begins_to_be_corrected_is_told_of_and_taken_back(
    served: Server, receiver: Receiver
) -> None:
    good = served.publish()
    assert served.promote(good).status_code == 200
    for number in range(PEOPLE):
        name = served.asked(user=f"early {number}")
        served.told(completion_id=name, user=f"early {number}", rating="up")
    bad = served.publish(parent=good)
    assert served.promote(bad).status_code == 200
    for number in range(PEOPLE):
        who = f"late {number}"
        answer = served.chat(user=who)
        # Of the version before they are as fond as ever.
        disliked = answer.headers["x-heed-adapter"] == bad
        said = {"correction": "It costs 59 dollars."} if disliked else {"rating": "up"}
        served.told(completion_id=answer.json()["id"], user=who, **said)

    def found() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = served.http.get("/v1/alerts").json()["data"]
        return [each for each in rows if each["measure"] == "corrections"]

    wait_until(found)
    [alert] = found()
    assert (alert["adapter"], alert["harmful"], alert["direction"]) == (bad, True, "rose")
    assert alert["rolled_back_to"] == good
    wait_until(lambda: served.parts.router.route.live == good)
    assert served.chat(user="somebody").headers["x-heed-adapter"] == good
    assert (
        served.http.get("/v1/adapters")
        .json()["deployment"]["reason"]
        .startswith(f"{bad} is rolled back. ")
    )

    def arrived() -> dict[str, tuple[dict[str, str], bytes]]:
        return {headers["webhook-id"]: (headers, body) for headers, body in receiver.heard}

    wait_until(lambda: alert["id"] in arrived())
    headers, body = arrived()[str(alert["id"])]
    told = signature(SECRET, str(alert["id"]), headers["webhook-timestamp"], body)
    assert headers["webhook-signature"] == told
    said = json.loads(body)["data"]
    assert (said["measure"], said["rolled_back_to"]) == ("corrections", good)
    assert "59 dollars" not in body.decode()  # nobody's words leave the house
    wait_until(lambda: {each["state"] for each in found()} == {"resolved"})
    watched = served.http.get("/v1/watch").json()["data"]
    assert [each["adapter"] for each in watched][:2] == [good, bad]
