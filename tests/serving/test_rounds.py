"""Rounds over HTTP, as far as no process runs one: opening, listing, watching, cancelling."""

import json
import threading
import time
from typing import Any

import pytest

from tests.builders import opened_round
from tests.serving.attendance import held
from tests.serving.conftest import Server, fault
from trainer.models import RoundEvent

NO_PAIRS = {"pairs": 0, "judged": 0, "needed": 0, "ended": True, "result": None}


def with_material(server: Server) -> str:
    return server.told(completion_id=server.asked(), rating="up")


def test_there_is_nothing_to_learn_from_at_first(own: Server) -> None:
    answer = own.http.post("/v1/rounds")
    assert answer.status_code == 409
    assert "no accepted feedback" in fault(answer)["message"]
    own.told(completion_id=own.asked(), correction="Other.")
    assert "wait for a reviewer" in fault(own.http.post("/v1/rounds"))["message"]
    assert own.http.get("/v1/rounds").json()["data"] == []


def test_a_round_is_opened_listed_shown_and_cancelled(own: Server) -> None:
    feedback_id = with_material(own)
    opened = own.http.post("/v1/rounds")
    assert opened.status_code == 201
    row = opened.json()
    assert (row["state"], row["stage"], row["attempts"]) == ("open", "queued", 0)
    assert row["plan"]["base_model"] == "bare"
    assert row["trigger"] == "by hand (local)"
    second = own.http.post("/v1/rounds")
    assert second.status_code == 409
    assert row["id"] in fault(second)["message"]
    assert own.http.get(f"/v1/rounds/{row['id']}").json() == {**row, "curve": [], "pairs": NO_PAIRS}
    assert [each["id"] for each in own.http.get("/v1/rounds").json()["data"]] == [row["id"]]
    cancelled = own.http.post(f"/v1/rounds/{row['id']}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["ended_at"] >= row["created_at"]
    assert own.http.post(f"/v1/rounds/{row['id']}/cancel").status_code == 409
    assert own.http.get(f"/v1/feedback/{feedback_id}").json()["status"] == "waiting"
    assert own.http.post("/v1/rounds").status_code == 201


def test_a_round_whose_process_died_is_cancelled_at_once(own: Server) -> None:
    row = opened_round(own.store)
    held(own.store, row, seconds=0)
    half = own.store.settings.data_dir / "work" / row.id
    half.mkdir(parents=True)
    cancelled = own.http.post(f"/v1/rounds/{row.id}/cancel").json()
    assert (cancelled["state"], cancelled["attempts"]) == ("cancelled", 1)
    assert "no process ran it any more" in cancelled["message"]
    assert not half.exists()


def test_rounds_come_in_pages_newest_first(own: Server) -> None:
    with_material(own)
    names = []
    for _ in range(3):
        names.append(own.http.post("/v1/rounds").json()["id"])
        own.http.post(f"/v1/rounds/{names[-1]}/cancel")
        time.sleep(0.002)  # ids sort by the millisecond
    page = own.http.get("/v1/rounds", params={"limit": 2}).json()
    assert [row["id"] for row in page["data"]] == names[:0:-1]
    assert page["next"] == names[1]
    rest = own.http.get("/v1/rounds", params={"limit": 2, "after": page["next"]}).json()
    assert [row["id"] for row in rest["data"]] == names[:1]
    assert rest["has_more"] is False


def test_progress_is_streamed_until_the_round_ends(own: Server) -> None:
    with_material(own)
    name = own.http.post("/v1/rounds").json()["id"]
    progressed(own, name, "Gathering")
    ending = threading.Timer(0.2, lambda: own.http.post(f"/v1/rounds/{name}/cancel"))
    with own.http.stream("GET", f"/v1/rounds/{name}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        ending.start()
        events = read(answer.read().decode())
    ending.join()
    assert [event["event"] for event in events] == ["progress", "end"]
    assert events[0]["data"]["message"] == "Gathering"
    assert events[1]["data"]["state"] == "cancelled"
    # Whoever comes later, or again after a lost line, hears the rest and the end.
    progressed(own, name, "Late")
    again = read(own.http.get(f"/v1/rounds/{name}/events").text)
    assert [event["data"].get("message") for event in again[:2]] == ["Gathering", "Late"]
    after = read(own.http.get(f"/v1/rounds/{name}/events?after={again[0]['data']['id']}").text)
    assert [event["event"] for event in after] == ["progress", "end"]


def test_the_last_id_that_a_database_can_hold_is_a_place_to_go_on_from(own: Server) -> None:
    with_material(own)
    name = own.http.post("/v1/rounds").json()["id"]
    own.http.post(f"/v1/rounds/{name}/cancel")
    events = read(own.http.get(f"/v1/rounds/{name}/events?after={2**31 - 1}").text)
    assert [event["event"] for event in events] == ["end"]


@pytest.mark.parametrize("name", ["rnd_none", "%00"])
def test_an_unknown_round_is_not_found(server: Server, name: str) -> None:
    for verb, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events")):
        answer = server.http.request(verb, f"/v1/rounds/{name}{path}")
        assert answer.status_code in (400, 404), answer.text
        fault(answer)


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/rounds?limit=0", "limit"),
        ("/v1/rounds?limit=x", "limit"),
        ("/v1/rounds?after=%00", "after"),
        ("/v1/rounds/x/events?after=99999999999999999999999", "after"),
        ("/v1/rounds/x/events?after=-1", "after"),
        ("/v1/rounds/x/events?after=2147483648", "after"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(
    server: Server, path: str, param: str
) -> None:
    answer = server.http.get(path)
    assert answer.status_code == 400, answer.text
    assert fault(answer)["param"] == param


def progressed(server: Server, name: str, message: str) -> None:
    with server.store.session(write=True) as session:
        session.add(
            RoundEvent(round_id=name, stage="claim", progress=0.1, message=message, at=time.time())
        )
        session.commit()


def read(stream: str) -> list[dict[str, Any]]:
    events = []
    for block in stream.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        events.append({**fields, "data": json.loads(fields["data"])})
    return events
