"""`heed watch`, the routes that say the same, and what `/metrics` tells of the watch and a canary."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from feedback.store import Store
from tests.serving import canaries
from tests.serving.command_line import document, done, fault, store_at
from tests.serving.conftest import Server
from tests.serving.conftest import fault as refused
from tests.serving.watched import answered, live, look, spoken
from tests.serving.webhooks import listening


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = store_at(tmp_path / "data", monkeypatch)
    yield store
    store.close()


def disliked(store: Store) -> str:
    """A version whose people begin to vote it down."""
    name = live(store, ago=500)
    spoken(store, answered(store, name, 60, ago=450)[::2], rating="up")
    spoken(store, answered(store, name, 60, ago=400)[::2], rating="down")
    [alert] = look(store)
    return alert.adapter_id


def test_before_anything_was_measured_it_says_when_it_will_be(here: Store) -> None:
    assert "Nothing was measured yet" in done("watch")
    assert document("watch")["data"] == []
    assert done("watch", "alerts").strip() == "No alerts."
    assert "No alerts are open." in done("watch", "alerts", "--state", "open")
    assert document("watch", "alerts") == {
        "object": "list",
        "data": [],
        "has_more": False,
        "next": None,
    }


def test_measures_and_alerts_are_shown_and_taken_note_of(here: Store) -> None:
    name = disliked(here)
    shown = done("watch")
    assert name in shown and "50.0% of answers voted on" in shown
    [alert] = document("watch", "alerts")["data"]
    assert (alert["measure"], alert["state"]) == ("satisfaction", "open")
    told = {
        each["measure"]: each
        for each in document("watch", "--adapter", name)["data"][0]["measures"]
    }
    assert told["satisfaction"]["alert"] == alert["id"]
    assert told["satisfaction"]["now"]["count"] == 60
    assert document("watch", "--adapter", "base")["data"] == []
    assert f"satisfaction of {name} fell" in done("watch", "alerts")
    assert "acknowledged by cli" in done("watch", "acknowledge", alert["id"])
    assert document("watch", "alerts", "--state", "open")["data"] == []
    assert document("watch", "alerts")["data"][0]["acknowledged_by"] == "cli"
    assert "No alert 'alr_none'" in fault("watch", "acknowledge", "alr_none")


def test_the_webhook_is_tried(here: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "serving.webhook_url" in fault("watch", "test")
    with listening() as receiver:
        monkeypatch.setenv("HEED_SERVING__WEBHOOK_URL", receiver.url)
        assert "unsigned" in done("watch", "test")
        monkeypatch.setenv("HEED_SERVING__WEBHOOK_SECRET", "sixteen letters!")
        assert document("watch", "test")["delivered"] is True
        receiver.answers = [500]
        assert "it answered 500" in fault("watch", "test")
    assert len(receiver.heard) == 3
    assert "webhook-signature" in receiver.heard[1][0]


def test_the_routes_list_and_take_note(own: Server) -> None:
    name = disliked(own.store)
    assert own.http.get("/v1/watch").json()["data"][0]["adapter"] == name
    assert own.http.get("/v1/watch", params={"adapter": "base"}).json()["data"] == []
    page = own.http.get("/v1/alerts", params={"state": "open", "adapter": name, "limit": 1}).json()
    [alert] = page["data"]
    assert page["has_more"] is False
    answer = own.http.post(f"/v1/alerts/{alert['id']}/acknowledge")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["acknowledged_by"]) == ("acknowledged", "local")
    assert own.http.get("/v1/alerts", params={"after": alert["id"]}).json()["data"] == []
    missing = own.http.post("/v1/alerts/alr_none/acknowledge")
    assert missing.status_code == 404 and "alr_none" in refused(missing)["message"]
    assert own.http.get("/v1/alerts", params={"state": "loud"}).status_code == 400


def samples(server: Server) -> dict[tuple[str, str, str], float]:
    """Every sample by its name, version and measure or stream."""
    found = {}
    for family in text_string_to_metric_families(server.http.get("/metrics").text):
        for each in family.samples:
            kind = each.labels.get("measure") or each.labels.get("stream") or ""
            found[each.name, each.labels.get("adapter", ""), kind] = each.value
    return found


def test_metrics_tell_of_measures_and_open_alerts(own: Server) -> None:
    name = disliked(own.store)
    found = samples(own)
    assert found["heed_alerts_open", name, ""] == 1
    assert found["heed_watch_rate", name, "satisfaction"] == 0.5
    assert found["heed_watch_observations", name, "satisfaction"] == 60
    assert found["heed_watch_evidence", name, "satisfaction"] > 100
    assert ("heed_watch_reference", name, "satisfaction") not in found  # there was nothing before


def test_metrics_tell_of_a_canary(own: Server) -> None:
    deployed = canaries.canary(own.store, share=0.5)
    new = str(deployed.canary_id)
    own.parts.router.flip(own.parts.router.route.__class__(1, str(deployed.live_id), new, 0.5))
    ratings = {str(deployed.live_id): "up", new: "down"}
    canaries.vote(own.store, canaries.of_each(deployed, 2), ratings)
    assert samples(own)["heed_canary_share", new, ""] == 0.5
    assert ("heed_canary_pairs", new, "votes") not in samples(own)  # this process has not looked
    own.parts.scheduler.watch()
    found = samples(own)
    assert found["heed_canary_pairs", new, "votes"] == 2
    assert found["heed_canary_evidence", new, "votes"] > 1
